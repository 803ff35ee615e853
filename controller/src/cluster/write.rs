//! Live reads and guarded writes.

use std::time::Duration;

use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::Value;

use super::json_of;
use super::{Cluster, Key, Kind, Object};

/// A read or write that the API server refused or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {kind} {namespace}/{name}: {source}")]
pub struct WriteError {
    verb: &'static str,
    kind: Kind,
    namespace: String,
    name: String,
    // Boxed because it is large and every write returns it.
    source: Box<kube::Error>,
}

impl WriteError {
    /// Whether someone else wrote first; the next tick observes that and plans anew.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The HTTP status of the answer, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self.source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the server says no, and will say no again: not that the object is gone, was changed meanwhile, or that the
    /// server is busy.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code()
            .is_some_and(|code| (400..500).contains(&code) && !matches!(code, 404 | 409 | 429))
    }

    /// Whether an admission webhook that has side effects refuses dry runs.
    fn is_dry_run_unsupported(&self) -> bool {
        match self.source.as_ref() {
            kube::Error::Api(status) => status.code == 400 && status.message.contains("dry run"),
            _ => false,
        }
    }

    /// What to do about a missing permission; `None` when something else is wrong.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        if self.code() != Some(403) {
            return None;
        }
        let namespace = &self.namespace;
        Some(match (self.kind, self.verb) {
            (Kind::Secret, "create" | "update") => format!(
                "Role canary-controller-secret-copies is missing there: kubectl apply --namespace {namespace} -k \
                 manifests/secret-copies (or annotate Secret {} with flagger.app/config-tracking: disabled, and it is \
                 shared instead of copied)",
                self.name.strip_suffix("-primary").unwrap_or(&self.name)
            ),
            (kind, verb) => format!(
                "grant \"{verb}\" on {} by RBAC, as manifests/controller/rbac.yaml does",
                kind.qualified()
            ),
        })
    }
}

impl Cluster {
    /// The object as the API server has it now, data of Secrets included.
    ///
    /// # Errors
    /// When the server refuses or does not answer; a missing object is `None`.
    pub async fn live(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>, WriteError> {
        let found = answered(self.api(kind, namespace).get_opt(name)).await;
        found.map_err(|source| error("get", kind, namespace, name, source))
    }

    /// Creates an object.
    ///
    /// # Errors
    /// When the server refuses (409 if it exists) or does not answer.
    pub async fn create(
        &self,
        kind: Kind,
        namespace: &str,
        object: &Object,
    ) -> Result<Object, WriteError> {
        let name = object.name_any();
        let (api, params) = (self.api(kind, namespace), self.post());
        let written = answered(api.create(&params, object)).await;
        self.written("create", kind, namespace, &name, written)
    }

    /// Replaces an object; its `resourceVersion` guards the write.
    ///
    /// # Errors
    /// When the server refuses (409 if someone else wrote first) or does not answer.
    pub async fn replace(
        &self,
        kind: Kind,
        namespace: &str,
        object: &Object,
    ) -> Result<Object, WriteError> {
        let name = object.name_any();
        let (api, params) = (self.api(kind, namespace), self.post());
        let written = answered(api.replace(&name, &params, object)).await;
        self.written("update", kind, namespace, &name, written)
    }

    /// Changes some fields of an object by a merge patch.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn merge(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Object, WriteError> {
        let (api, params) = (self.api(kind, namespace), PatchParams::default());
        let written = answered(api.patch(name, &params, &Patch::Merge(patch))).await;
        self.written("patch", kind, namespace, name, written)
    }

    /// Changes some fields of an object's status by a merge patch.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn merge_status(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Object, WriteError> {
        let (api, params) = (self.api(kind, namespace), PatchParams::default());
        let written = answered(api.patch_status(name, &params, &Patch::Merge(patch))).await;
        self.written("patch status of", kind, namespace, name, written)
    }

    /// What the API server would make of an object whose status was changed by this merge patch. Nothing is written.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn try_status(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Object, WriteError> {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let api = self.api(kind, namespace);
        let answer = answered(api.patch_status(name, &params, &Patch::Merge(patch))).await;
        answer.map_err(|source| error("patch status of", kind, namespace, name, source))
    }

    /// Makes one object as `build` says, given the one that exists: creates it, replaces it, or does nothing when
    /// it already is so. The read is live and its `resourceVersion` guards the write.
    ///
    /// # Errors
    /// When the server refuses (409 if someone else wrote first) or does not answer.
    pub async fn ensure(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        build: impl FnOnce(Option<&Value>) -> Value,
    ) -> Result<(), WriteError> {
        let existing = self
            .live(kind, namespace, name)
            .await?
            .map(|object| json_of(&object));
        let wanted = build(existing.as_ref());
        if existing.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let object: Object = serde_json::from_value(wanted).map_err(|source| {
            error(
                "build",
                kind,
                namespace,
                name,
                kube::Error::SerdeError(source),
            )
        })?;
        let written = if existing.is_some() {
            self.replace(kind, namespace, &object).await
        } else {
            self.create(kind, namespace, &object).await
        };
        match written {
            Err(error) if !(self.is_dry_run && error.is_dry_run_unsupported()) => Err(error),
            _ => Ok(()),
        }
    }

    fn post(&self) -> PostParams {
        PostParams {
            dry_run: self.is_dry_run,
            ..PostParams::default()
        }
    }

    fn written(
        &self,
        verb: &'static str,
        kind: Kind,
        namespace: &str,
        name: &str,
        result: Result<Object, kube::Error>,
    ) -> Result<Object, WriteError> {
        let object = result.map_err(|source| error(verb, kind, namespace, name, source))?;
        if self.is_dry_run {
            return Ok(object);
        }
        self.expect(Key::new(kind, namespace, name), object.resource_version());
        Ok(object)
    }
}

/// What an API server that hangs must not take longer than: a connection that died without a word is otherwise given
/// up after a quarter of an hour, and the release stands still for as long. kube's own repetitions are part of it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The answer to a read or write, or the error that there is none.
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    tokio::time::timeout(LONGEST_WAIT, call)
        .await
        .unwrap_or_else(|_| {
            let why = format!("the API server has not answered within {LONGEST_WAIT:?}");
            Err(kube::Error::Service(why.into()))
        })
}

fn error(
    verb: &'static str,
    kind: Kind,
    namespace: &str,
    name: &str,
    source: kube::Error,
) -> WriteError {
    WriteError {
        verb,
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    }
}

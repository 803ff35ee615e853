//! Live reads and guarded writes.

use std::time::Duration;

use api_failure::{ApiFailure, Refusal, if_present};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::Value;

use super::json_of;
use super::{Cluster, Key, Kind, Object};

/// A read or write that the API server refused or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {kind} {namespace}/{name}: {why}")]
pub struct WriteError {
    verb: &'static str,
    kind: Kind,
    namespace: String,
    name: String,
    why: ApiFailure,
}

impl WriteError {
    /// Whether someone else wrote first; the next tick observes that and plans anew.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.why.is_conflict()
    }

    /// Whether the answer will be the same the next time, unless somebody changes something.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.why.is_refusal()
    }

    /// Whether an admission webhook that has side effects refuses dry runs.
    fn is_dry_run_unsupported(&self) -> bool {
        self.why.code() == Some(400) && self.why.to_string().contains("dry run")
    }

    /// Whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.why.is_not_found()
    }

    /// The next step for whoever may change the cluster; `None` when the API server's sentence says all that is known.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        let namespace = &self.namespace;
        Some(match (self.why.refusal()?, self.kind, self.verb) {
            (Refusal::Permission { .. }, Kind::Secret, "create" | "update") => format!(
                "Role canary-controller-secret-copies is missing there: kubectl apply --namespace {namespace} -k \
                 manifests/secret-copies (or annotate Secret {} with flagger.app/config-tracking: disabled, and it is \
                 shared instead of copied)",
                self.name.strip_suffix("-primary").unwrap_or(&self.name)
            ),
            (permission @ Refusal::Permission { .. }, ..) => {
                format!(
                    "{}, as manifests/controller/rbac.yaml does",
                    permission.advice()
                )
            }
            (Refusal::OwnerReferences, kind, _) => format!(
                "OwnerReferencesPermissionEnforcement is on, so the owner can be set only by an account with \"delete\" \
                 on {} in namespace {namespace}: grant it by RBAC",
                kind.qualified()
            ),
            // The owner of everything that is generated is the Canary.
            (Refusal::BlockOwnerDeletion, ..) => format!(
                "OwnerReferencesPermissionEnforcement is on, so the owner can be set only by an account with \"update\" \
                 on {}/finalizers in namespace {namespace}: grant it by RBAC",
                Kind::Canary.qualified()
            ),
            (other, ..) => other.advice(),
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
        let found = if_present(answered(self.api(kind, namespace).get(name)).await);
        found.map_err(|why| error("get", kind, namespace, name, why))
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
        answer.map_err(|why| error("patch status of", kind, namespace, name, why))
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
        let object: Object = serde_json::from_value(wanted)
            .map_err(|why| error("build", kind, namespace, name, why.into()))?;
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
        result: Result<Object, ApiFailure>,
    ) -> Result<Object, WriteError> {
        let object = result.map_err(|why| error(verb, kind, namespace, name, why))?;
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
pub(super) async fn answered<T, E: Into<ApiFailure>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, ApiFailure> {
    match tokio::time::timeout(LONGEST_WAIT, call).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(ApiFailure::no_answer_within(LONGEST_WAIT)),
    }
}

fn error(
    verb: &'static str,
    kind: Kind,
    namespace: &str,
    name: &str,
    why: ApiFailure,
) -> WriteError {
    WriteError {
        verb,
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        why,
    }
}

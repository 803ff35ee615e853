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

/// A failed read or write: the API server refused it or did not respond.
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
    /// Returns whether another client changed the object first. The next tick then plans with the new state.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.why.is_conflict()
    }

    /// Returns whether a retry is pointless until somebody changes the cluster.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.why.is_refusal()
    }

    /// Returns whether an admission webhook with side effects rejects dry runs.
    fn is_dry_run_unsupported(&self) -> bool {
        self.why.code() == Some(400) && self.why.to_string().contains("dry run")
    }

    /// Returns whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.why.is_not_found()
    }

    /// The next step for an administrator of the cluster; `None` if the message of the API server is all that is known.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        let namespace = &self.namespace;
        Some(match (self.why.refusal()?, self.kind, self.verb) {
            (Refusal::Permission { .. }, Kind::SECRET, "create" | "update") => format!(
                "Role canary-controller-secret-copies is missing in this namespace: run kubectl apply --namespace \
                 {namespace} -k manifests/secret-copies, or annotate Secret {} with flagger.app/config-tracking: \
                 disabled to share it instead of copying it",
                self.name.strip_suffix("-primary").unwrap_or(&self.name)
            ),
            (permission @ Refusal::Permission { .. }, ..) => {
                format!(
                    "{}, as manifests/controller/rbac.yaml does",
                    permission.advice()
                )
            }
            (Refusal::OwnerReferences, kind, _) => format!(
                "OwnerReferencesPermissionEnforcement is enabled, so setting the owner requires \"delete\" on {} in \
                 namespace {namespace}: grant it by RBAC",
                kind.qualified()
            ),
            // The owner of all generated objects is the Canary.
            (Refusal::BlockOwnerDeletion, ..) => format!(
                "OwnerReferencesPermissionEnforcement is enabled, so setting the owner requires \"update\" on \
                 {}/finalizers in namespace {namespace}: grant it by RBAC",
                Kind::CANARY.qualified()
            ),
            (other, ..) => other.advice(),
        })
    }
}

impl Cluster {
    /// Reads an object from the API server, including the data of Secrets. A missing object is `None`.
    ///
    /// # Errors
    /// Fails if the server refuses the request or does not respond.
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
    /// Fails if the server refuses the request (409 if the object exists) or does not respond.
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

    /// Replaces an object. Its `resourceVersion` guards against concurrent changes.
    ///
    /// # Errors
    /// Fails if the server refuses the request (409 if another client changed the object first) or does not respond.
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

    /// Applies a merge patch to an object.
    ///
    /// # Errors
    /// Fails if the server refuses the request or does not respond.
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

    /// Applies a merge patch to the status of an object.
    ///
    /// # Errors
    /// Fails if the server refuses the request or does not respond.
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

    /// Applies a merge patch to the status of an object as a dry run and returns the resulting object.
    ///
    /// # Errors
    /// Fails if the server refuses the request or does not respond.
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

    /// Creates or replaces one object so that it equals the result of `build`, whose argument is the existing object.
    /// Does nothing if they are equal. The read is live, and its `resourceVersion` guards against concurrent changes.
    ///
    /// # Errors
    /// Fails if the server refuses a request (409 if another client changed the object first) or does not respond.
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
        let desired = build(existing.as_ref());
        if existing.as_ref() == Some(&desired) {
            return Ok(());
        }
        let object: Object = serde_json::from_value(desired)
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

/// Timeout of a read or write, including kube's own retries. Without it, a connection that was lost silently would
/// block the release until the kernel gives it up after a quarter of an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Limits a request to [`LONGEST_WAIT`].
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

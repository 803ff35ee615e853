//! Errors of the controllers.

use api_failure::ApiFailure;
use kube::{Resource, ResourceExt};

/// An error of a reconciliation, which is retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error("cannot {action} {kind} {name}: {why}")]
    Request {
        /// The operation, as a verb.
        action: &'static str,
        /// Kind of the object.
        kind: String,
        /// `namespace/name` or name.
        name: String,
        /// The failure.
        why: ApiFailure,
    },
    /// An object changed during the reconciliation. The next one follows immediately.
    #[error("an object changed during the reconciliation")]
    Again,
    /// A watch could not start because its local copy was dropped.
    #[error("the watch of {0} ended")]
    WatchEnded(&'static str),
}

impl Error {
    /// Wraps a failed request for `object`.
    pub(crate) fn on<K: Resource<DynamicType = ()>, E: Into<ApiFailure>>(
        object: &K,
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        let kind = K::kind(&()).into_owned();
        let name = match object.namespace() {
            Some(namespace) => format!("{namespace}/{}", object.name_any()),
            None => object.name_any(),
        };
        move |why: E| Self::request(why.into(), action, kind, name)
    }

    /// Wraps a failed request for the named object.
    pub(crate) fn about<E: Into<ApiFailure>>(
        kind: &str,
        name: &str,
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        move |why: E| Self::request(why.into(), action, kind, name)
    }

    fn request(why: ApiFailure, action: &'static str, kind: String, name: String) -> Self {
        // A concurrent write. The watch delivers the new object.
        if why.is_conflict() && !why.is_already_exists() {
            return Self::Again;
        }
        Self::Request {
            action,
            kind,
            name,
            why,
        }
    }

    /// Returns whether the error is worth logging.
    pub(crate) fn is_notable(&self) -> bool {
        !matches!(self, Self::Again)
    }
}

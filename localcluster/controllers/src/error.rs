//! Errors of the controllers.

use kube::{Resource, ResourceExt};

/// An error of a reconciliation, which is retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error("cannot {action} {kind} {name}: {source}")]
    Request {
        /// The operation, as a verb.
        action: &'static str,
        /// Kind of the object.
        kind: String,
        /// `namespace/name` or name.
        name: String,
        /// Error from the client.
        source: Box<kube::Error>,
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
    pub(crate) fn on<K: Resource<DynamicType = ()>>(
        object: &K,
        action: &'static str,
    ) -> impl FnOnce(kube::Error) -> Self {
        let kind = K::kind(&()).into_owned();
        let name = match object.namespace() {
            Some(namespace) => format!("{namespace}/{}", object.name_any()),
            None => object.name_any(),
        };
        move |source| Self::request(source, action, kind, name)
    }

    /// Wraps a failed request for the named object.
    pub(crate) fn about(
        kind: &str,
        name: &str,
        action: &'static str,
    ) -> impl FnOnce(kube::Error) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        move |source| Self::request(source, action, kind, name)
    }

    fn request(source: kube::Error, action: &'static str, kind: String, name: String) -> Self {
        match source {
            // A concurrent write. The watch delivers the new object.
            kube::Error::Api(status) if status.is_conflict() && status.reason == "Conflict" => {
                Self::Again
            }
            source => Self::Request {
                action,
                kind,
                name,
                source: Box::new(source),
            },
        }
    }

    /// Returns whether the error is worth logging.
    pub(crate) fn is_notable(&self) -> bool {
        !matches!(self, Self::Again)
    }
}

/// Returns whether a create was rejected because the namespace is terminating. That deserves neither
/// an event nor a retry, as its contents are being deleted too.
pub(crate) fn is_namespace_going(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_forbidden()
        && causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}

//! What can go wrong in a round of a controller.

use kube::{Resource, ResourceExt};

/// An error of a controller. The round is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request was refused or did not arrive.
    #[error("cannot {action} {kind} {name}: {source}")]
    Request {
        /// What was to be done.
        action: &'static str,
        /// Kind of the object.
        kind: String,
        /// `namespace/name` or name.
        name: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// The world changed while this round ran; the next one starts at once.
    #[error("changed meanwhile")]
    Again,
    /// A watch could not be set up because the local copy was dropped.
    #[error("the watch of {0} ended")]
    WatchEnded(&'static str),
}

impl Error {
    /// Wrap a failed request about `object`.
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

    /// Wrap a failed request about the named object.
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
            // Somebody else wrote first: normal life, seen again through the watch.
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

    /// Whether it is worth telling people.
    pub(crate) fn is_notable(&self) -> bool {
        !matches!(self, Self::Again)
    }
}

/// Whether a create was refused because the namespace is going away. Not worth an event or another
/// attempt: everything in it goes too.
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

//! What can go wrong in a round of a controller.

use api_failure::ApiFailure;
use kube::{Resource, ResourceExt};

/// An error of a controller. The round is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request was refused or did not arrive.
    #[error("cannot {action} {kind} {name}: {why}")]
    Request {
        /// What was to be done.
        action: &'static str,
        /// Kind of the object.
        kind: String,
        /// `namespace/name` or name.
        name: String,
        /// The answer.
        why: ApiFailure,
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

    /// Wrap a failed request about the named object.
    pub(crate) fn about<E: Into<ApiFailure>>(
        kind: &str,
        name: &str,
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        move |why: E| Self::request(why.into(), action, kind, name)
    }

    fn request(why: ApiFailure, action: &'static str, kind: String, name: String) -> Self {
        // Somebody else wrote first: normal life, seen again through the watch.
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

    /// Whether it is worth telling people.
    pub(crate) fn is_notable(&self) -> bool {
        !matches!(self, Self::Again)
    }
}

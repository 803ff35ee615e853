//! Failed requests to the Kubernetes API server, in the words that people read.
//!
//! `kube::Error` prints the server's answer three times, once of it as a dump of the Rust type. [`ApiFailure`] says it
//! once: the server's own sentence where it gave one, and a short one with the root cause where it did not answer.
//! It also knows what an answer proves: a `404` in plain text does not say that an object is missing.

mod refusal;
mod sentence;

use std::fmt;

use kube::{
    config::{InferConfigError, KubeconfigError},
    core::Status,
    runtime::watcher,
};

pub use refusal::Refusal;

/// A request that the API server refused or did not answer.
pub struct ApiFailure(Box<kube::Error>);

impl From<kube::Error> for ApiFailure {
    fn from(error: kube::Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<serde_json::Error> for ApiFailure {
    fn from(error: serde_json::Error) -> Self {
        kube::Error::SerdeError(error).into()
    }
}

impl From<KubeconfigError> for ApiFailure {
    fn from(error: KubeconfigError) -> Self {
        kube::Error::InferKubeconfig(error).into()
    }
}

impl From<InferConfigError> for ApiFailure {
    fn from(error: InferConfigError) -> Self {
        kube::Error::InferConfig(error).into()
    }
}

impl ApiFailure {
    /// A request that this program gave up, and why: "no answer within 30s".
    #[must_use]
    pub fn unanswered(why: String) -> Self {
        Self(Box::new(kube::Error::Service(why.into())))
    }

    /// The failure of a watch.
    #[must_use]
    pub fn of_watch(error: watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error.into(),
            watcher::Error::WatchError(status) => kube::Error::Api(status).into(),
            watcher::Error::NoResourceVersion => {
                Self::unanswered("the list has no resourceVersion".to_owned())
            }
        }
    }

    /// The HTTP status of the answer, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// Whether the server said, in a `Status`, that what was asked for does not exist. The plain text
    /// `404 page not found` is no such answer: a server in its first moments gives it for everything.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.0.is_absence()
    }

    /// Whether a path is not served at the moment: a `404` that says nothing of an object.
    #[must_use]
    pub fn is_unserved_path(&self) -> bool {
        self.code() == Some(404) && !self.is_absence()
    }

    /// Whether someone else wrote first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether an object of this name was there before.
    #[must_use]
    pub fn is_already_there(&self) -> bool {
        self.0.is_already_there()
    }

    /// Whether the server refuses this, now and later, unless somebody changes something. It does not if it is busy,
    /// if someone else wrote first, or if its `404` is no `Status`.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let refuses = |code: u16| (400..500).contains(&code) && !matches!(code, 408 | 409 | 429);
        self.code().is_some_and(refuses) && !self.is_unserved_path()
    }

    /// Who refused, as far as the server's sentence names it.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let status = self.status()?;
        Refusal::read(status.code, &status.message)
    }

    /// The next step for whoever may change the cluster; `None` when the sentence says all that is known.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(self.refusal()?.advice())
    }

    /// The server's answer, whether it is a `Status` of its own or what kube made of something else.
    fn status(&self) -> Option<&Status> {
        match self.0.as_ref() {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence::of(&self.0))
    }
}

/// The same sentence: a dump of the answer helps nobody, wherever it is printed.
impl fmt::Debug for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiFailure({self})")
    }
}

/// Without a source: whoever prints a chain of causes would print the same text again.
impl std::error::Error for ApiFailure {}

/// What an error of kube proves, for code that goes on with the error itself.
pub trait Proof {
    /// As [`ApiFailure::is_absence`].
    fn is_absence(&self) -> bool;
    /// Whether someone else wrote first.
    fn is_conflict(&self) -> bool;
    /// As [`ApiFailure::is_already_there`].
    fn is_already_there(&self) -> bool;
    /// Whether the request is forbidden, by whomsoever.
    fn is_forbidden(&self) -> bool;
    /// Whether nothing can be made any more in a namespace because it is being deleted.
    fn is_of_ending_namespace(&self) -> bool;
}

impl Proof for kube::Error {
    fn is_absence(&self) -> bool {
        has_reason(self, "NotFound")
    }

    fn is_conflict(&self) -> bool {
        has_reason(self, "Conflict")
    }

    fn is_already_there(&self) -> bool {
        has_reason(self, "AlreadyExists")
    }

    fn is_forbidden(&self) -> bool {
        has_reason(self, "Forbidden")
    }

    fn is_of_ending_namespace(&self) -> bool {
        let kube::Error::Api(status) = self else {
            return false;
        };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        self.is_forbidden() && causes.any(|cause| cause.reason == "NamespaceTerminating")
    }
}

fn has_reason(error: &kube::Error, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if status.reason == reason)
}

/// The object of a read, or `None` when the server said that it does not exist.
///
/// # Errors
/// Every other failure. (`kube::Api::get_opt` takes a `404` in plain text for absence too.)
pub fn if_present<T>(answer: Result<T, impl Into<ApiFailure>>) -> Result<Option<T>, ApiFailure> {
    match answer.map_err(Into::into) {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

//! Failed requests to the Kubernetes API server, in the words that people read.
//!
//! `kube::Error` prints the server's answer up to three times, once of it as a dump of the Rust type. [`ApiFailure`]
//! says it once: the server's own sentence if it gave one, or else a short sentence with the root cause.
//! It also knows what an answer proves: a `404` in plain text does not say that an object is missing.

mod refusal;
mod sentence;

use std::{fmt, io, time::Duration};

use kube::{
    config::{InferConfigError, KubeconfigError},
    core::Status,
    runtime::{wait, watcher},
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

impl From<watcher::Error> for ApiFailure {
    fn from(error: watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error.into(),
            watcher::Error::WatchError(status) => kube::Error::Api(status).into(),
            watcher::Error::NoResourceVersion => {
                let why = io::Error::other("the list has no resourceVersion");
                serde_json::Error::io(why).into()
            }
        }
    }
}

impl From<wait::Error> for ApiFailure {
    fn from(error: wait::Error) -> Self {
        let wait::Error::ProbeFailed(error) = error;
        error.into()
    }
}

impl ApiFailure {
    /// A request that this program gave up after so long.
    #[must_use]
    pub fn no_answer_within(time: Duration) -> Self {
        let why = format!("no answer within {} s", time.as_secs());
        kube::Error::Service(why.into()).into()
    }

    /// The HTTP status of the answer, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        // A proxy's own JSON is read as a `Status` without a code.
        let code = |status: &Status| (status.code > 0).then_some(status.code);
        self.status().and_then(code)
    }

    /// Whether the server said, in a `Status`, that the object does not exist. The plain text `404 page not found` is
    /// no such answer: a server in its first moments gives it for everything.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.has_reason("NotFound")
    }

    /// Whether the path is not served at the moment: a `404` that says nothing about an object.
    #[must_use]
    pub fn is_unserved_path(&self) -> bool {
        self.code() == Some(404) && !self.is_not_found()
    }

    /// Whether someone else was first: the object was changed meanwhile, or one of its name exists.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether an object of this name exists.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.has_reason("AlreadyExists")
    }

    /// Whether nothing can be created any more because the namespace is being deleted.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        let mut causes = details.iter().flat_map(|details| &details.causes);
        self.has_reason("Forbidden") && causes.any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Whether the server refuses this request, now and later, unless somebody changes something. A busy server does
    /// not, nor does one that does not know yet who asks (401) or what it serves.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let refuses = |code| (400..500).contains(&code) && !matches!(code, 401 | 408 | 409 | 429);
        self.code().is_some_and(refuses) && !self.is_unserved_path()
    }

    /// Who refused, as far as the server's sentence names it.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let status = self.status()?;
        Refusal::parse(status.code, &status.message)
    }

    /// The next step for whoever may change the cluster; `None` when the sentence says all that is known.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(self.refusal()?.advice())
    }

    /// The server's answer: a `Status` of its own, or one that kube made of some other text.
    fn status(&self) -> Option<&Status> {
        match self.0.as_ref() {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.status().is_some_and(|status| status.reason == reason)
    }
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence::of(&self.0))
    }
}

/// The same sentence, so that no dump of the answer is printed anywhere.
impl fmt::Debug for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiFailure({self})")
    }
}

/// Without a source: a chain of causes would repeat the sentence.
impl std::error::Error for ApiFailure {}

/// The object of a read, or `None` if the server said that it does not exist.
///
/// # Errors
/// Every other failure, also a `404` in plain text, which `kube::Api::get_opt` takes for a missing object.
pub fn if_present<T>(answer: Result<T, impl Into<ApiFailure>>) -> Result<Option<T>, ApiFailure> {
    match answer.map_err(Into::into) {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

//! Readable errors for failed requests to the Kubernetes API server.
//!
//! `kube::Error` prints the server's response up to three times, one of them as a dump of the Rust type. [`ApiFailure`]
//! prints it once: the server's message if there is one, or else a short sentence with the root cause.
//! It also classifies responses. For example, a `404` in plain text is not evidence that an object is missing.

mod cause;
mod refusal;
mod sentence;

use std::{fmt, io, time::Duration};

use kube::{
    config::{InferConfigError, KubeconfigError},
    core::Status,
    runtime::{wait, watcher},
};

pub use cause::root_cause;
pub use refusal::Refusal;

/// A failed request: the API server refused it or did not respond.
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
    /// A request that timed out in this program.
    #[must_use]
    pub fn no_answer_within(time: Duration) -> Self {
        let why = format!("no answer within {} s", time.as_secs());
        kube::Error::Service(why.into()).into()
    }

    /// The HTTP status code of the response, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        // JSON of a proxy is deserialised as a `Status` without a code.
        let code = |status: &Status| (status.code > 0).then_some(status.code);
        self.status().and_then(code)
    }

    /// Whether the server responded, in a `Status`, that the object does not exist. The plain text `404 page not found`
    /// does not count: a server that is starting responds with it to every request.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.has_reason("NotFound")
    }

    /// Returns whether the path is currently not served: a `404` that is not about an object.
    #[must_use]
    pub fn is_unserved_path(&self) -> bool {
        self.code() == Some(404) && !self.is_not_found()
    }

    /// Whether the request conflicts with another client's: the object has changed, or an object of this name exists.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Returns whether an object of this name already exists.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.has_reason("AlreadyExists")
    }

    /// Returns whether the object cannot be created because its namespace is being deleted.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        let mut causes = details.iter().flat_map(|details| &details.causes);
        self.has_reason("Forbidden") && causes.any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Whether a retry is pointless until somebody changes the cluster. Failures of a busy or starting server do not
    /// count, such as 401 or a path that is not served yet.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let refuses = |code| (400..500).contains(&code) && !matches!(code, 401 | 408 | 409 | 429);
        self.code().is_some_and(refuses) && !self.is_unserved_path()
    }

    /// The component that refused the request, if the message of the server names it.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let status = self.status()?;
        Refusal::parse(status.code, &status.message)
    }

    /// The next step for an administrator of the cluster; `None` if the message is all that is known.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(self.refusal()?.advice())
    }

    /// The response: a `Status` of the server, or one that kube made from another text.
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

/// Same as `Display`, so that a dump of the response is never printed.
impl fmt::Debug for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiFailure({self})")
    }
}

/// There is no source, because a printed chain of causes would repeat the message.
impl std::error::Error for ApiFailure {}

/// The object from a read, or `None` if the server responded that it does not exist.
///
/// # Errors
/// Returns every other failure, including a `404` in plain text, which `kube::Api::get_opt` treats as a missing object.
pub fn if_present<T>(answer: Result<T, impl Into<ApiFailure>>) -> Result<Option<T>, ApiFailure> {
    match answer.map_err(Into::into) {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

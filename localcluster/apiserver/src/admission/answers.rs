//! Slow and failing answers.

use crate::status::ApiError;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// A rule for the answers to some requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Verb as RBAC names it, `get` for paths; empty for all.
    pub verb: String,
    /// Resource with group and subresource, `deployments.apps/status`, or a prefix of the path when it begins
    /// with `/`; empty for every request.
    pub resource: String,
    /// Time that passes before the answer, on tokio's clock.
    pub delay: Duration,
    /// The failure that takes the answer's place.
    pub failure: Option<Failure>,
    /// The request takes effect all the same: only its answer is slow or lost.
    pub takes_effect: bool,
    /// The number of answers that the rule is for; none for every one.
    pub times: Option<usize>,
}

/// A failure in place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A `Status` of the API server with this code.
    Status(u16),
    /// Text that is no `Status`, as of a proxy, or of a server in its first moments.
    Text(u16, String),
}

impl Answer {
    /// A slow answer.
    #[must_use]
    pub fn slow(verb: &str, resource: &str, delay: Duration) -> Self {
        Self {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            delay,
            failure: None,
            takes_effect: false,
            times: None,
        }
    }

    /// A failing answer.
    #[must_use]
    pub fn failing(verb: &str, resource: &str, failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::slow(verb, resource, Duration::ZERO)
        }
    }

    /// The same for the next `times` answers only.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        let times = Some(times);
        Self { times, ..self }
    }

    /// The same after the request has taken effect.
    #[must_use]
    pub fn after_its_effect(self) -> Self {
        Self {
            takes_effect: true,
            ..self
        }
    }

    pub(super) fn concerns(&self, verb: &str, resource: &str, path: &str) -> bool {
        let is_asked = match self.resource.as_str() {
            "" => true,
            prefix if prefix.starts_with('/') => path.starts_with(prefix),
            wanted => wanted == resource,
        };
        is_asked && (self.verb.is_empty() || self.verb == verb) && self.times != Some(0)
    }

    pub(super) fn used(&mut self) {
        self.times = self.times.map(|times| times.saturating_sub(1));
    }
}

impl Failure {
    /// The words of Kubernetes' own `404`, as plain text.
    #[must_use]
    pub fn page_not_found() -> Self {
        Self::Text(404, "404 page not found\n".to_owned())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code =
            |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self {
            Self::Text(number, text) => {
                let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
                (code(number), headers, text).into_response()
            }
            Self::Status(number) => {
                let (reason, message) = match number {
                    429 => (
                        "TooManyRequests",
                        "the server has received too many requests and has asked us to try again later",
                    ),
                    500 => (
                        "InternalError",
                        "Internal error occurred: etcdserver: no leader",
                    ),
                    503 => (
                        "ServiceUnavailable",
                        "the server is currently unable to handle the request",
                    ),
                    504 => (
                        "Timeout",
                        "Timeout: request did not complete within the allotted timeout",
                    ),
                    _ => ("", "the server rejected our request for an unknown reason"),
                };
                ApiError::new(code(number), reason, message).into_response()
            }
        }
    }
}

//! Reasons why a request failed.

use std::time::Duration;

/// Redirects followed for one request.
pub(super) const MOST_REDIRECTS: usize = 10;

/// Reasons why a request failed. Failures are counted by their text, which therefore holds nothing that differs from request
/// to request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Http1(#[from] loadtester_http1::Error),
    #[error("{0}")]
    Http2(String),
    #[error("stopped after {MOST_REDIRECTS} redirects")]
    TooManyRedirects,
    #[error("redirect not followed: {0}")]
    Redirect(String),
    #[error("no response within {0:?}")]
    Timeout(Duration),
}

impl Failure {
    /// True if the server could not be reached at all, so that an immediate retry would only burn CPU.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Http1(error) if error.is_unreachable())
    }

    /// True if a reused connection turned out to be closed before any byte of the response.
    pub(super) fn is_stale_connection(&self) -> bool {
        matches!(self, Self::Http1(error) if error.is_stale_connection())
    }
}

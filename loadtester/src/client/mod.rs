//! Clients: how one worker sends a request and reads the answer.
//!
//! - [`http1`]: plain HTTP/1.1 on the reactor, written for this; [`response`] and [`chunked`] read its answers.
//! - [`general`]: HTTP/2 and TLS, by hyper; [`connect`] and [`tls`] make its connections.

mod chunked;
pub(crate) mod connect;
pub(crate) mod general;
pub(crate) mod http1;
mod redirect;
mod resolver;
mod response;
pub(crate) mod tls;

use std::future::Future;
use std::io;
use std::time::Instant;

pub(crate) use resolver::Resolver;

use crate::plan::Address;
use crate::recorder::Answer;
use response::BadResponse;

/// An answer, and when its last byte was there.
pub(crate) struct Exchange {
    pub(crate) answer: Answer,
    pub(crate) done: Instant,
}

/// Sends requests for one worker, one at a time.
pub(crate) trait Client {
    /// Sends the request of `target` (an index into the plan's) and reads the answer. Dropping the future closes the
    /// connection it used, or in HTTP/2 resets its stream.
    fn exchange(
        &mut self,
        target: usize,
        started: Instant,
    ) -> impl Future<Output = Result<Exchange, Failure>>;
}

/// Why there is no answer. Counted by its text, which therefore holds nothing that differs from request to request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot look up {0}: {1}")]
    Lookup(Address, String),
    #[error("cannot connect to {0}: {1}")]
    Connect(Address, io::Error),
    #[error("cannot send the request: {0}")]
    Write(io::Error),
    #[error("cannot read the answer: {0}")]
    Read(io::Error),
    #[error(transparent)]
    Answer(#[from] BadResponse),
    #[error("stopped after {} redirects", redirect::MOST)]
    TooManyRedirects,
    #[error("{0} is not followed")]
    Redirect(String),
    /// This client cannot follow there.
    #[error(
        "a redirect from http to https://{0} in the middle of a run is not followed (start with https)"
    )]
    LeadsToTls(String),
    #[error("{0}")]
    Http(String),
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
}

impl Failure {
    /// Whether nothing could be reached, so that trying again at once would only burn CPU.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Lookup(..) | Self::Connect(..))
    }

    /// Whether a connection used again turned out to be closed already, before any answer.
    fn is_stale_connection(&self) -> bool {
        match self {
            Self::Answer(BadResponse::Closed) => true,
            Self::Write(error) | Self::Read(error) => is_broken(error),
            _ => false,
        }
    }
}

/// Whether the other side had ended the connection.
fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

//! Reasons why a request got no response.

use std::io;

use crate::address::Address;
use crate::response::BadResponse;

/// Reasons why a request got no response. The text names the address but nothing that differs from request to request, so
/// that callers can count errors by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no address.
    #[error("cannot look up {0}: {1}")]
    Lookup(Address, String),
    /// No connection could be made, its tunnel and TLS included.
    #[error("cannot connect to {0}: {1}")]
    Connect(Address, io::Error),
    /// The request could not be sent.
    #[error("cannot send the request: {0}")]
    Write(io::Error),
    /// The connection failed before the response began.
    #[error("cannot read the response: {0}")]
    Read(io::Error),
    /// The server sent something else than a complete response.
    #[error(transparent)]
    Response(#[from] BadResponse),
}

impl Error {
    /// True if the server could not be reached at all, so that an immediate retry would only burn CPU.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Lookup(..) | Self::Connect(..))
    }

    /// True if a reused connection turned out to be closed before any byte of the response. The server may close an idle
    /// connection at any moment, so an idempotent request can be sent again.
    pub fn is_stale_connection(&self) -> bool {
        match self {
            Self::Response(BadResponse::Closed) => true,
            Self::Write(error) | Self::Read(error) => is_closed_by_peer(error),
            Self::Lookup(..) | Self::Connect(..) | Self::Response(_) => false,
        }
    }
}

/// True if the other side closed the connection.
pub fn is_closed_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

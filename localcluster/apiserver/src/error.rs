//! Errors of the library; errors of requests are `Status` answers.

use std::path::PathBuf;

use crate::store::disk::DiskError;

/// Why an API server cannot be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory cannot be made.
    #[error("cannot create {path}: {source}; check its permissions")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server's secrets cannot be read or made.
    #[error("cannot use the secrets in {path}: {source}; check its permissions")]
    Secrets {
        /// Directory of the secrets.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] DiskError),
    /// The request counter cannot be made.
    #[error("cannot count requests: {0}")]
    Metrics(#[from] prometheus::Error),
    /// An object that every cluster has cannot be made.
    #[error("cannot create the built-in object {object}: {reason}")]
    Bootstrap {
        /// The object.
        object: String,
        /// What is wrong.
        reason: String,
    },
}

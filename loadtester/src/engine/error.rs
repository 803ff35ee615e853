//! Reasons why a run could not start or finish.

use std::io;

/// Reasons why a run could not start or finish.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system has no thread or descriptor left.
    #[error("cannot start the load: {0} (ulimit -n and -u show the limits)")]
    Start(io::Error),
    /// The certificates to trust cannot be used.
    #[error("--cacert: {0}")]
    Tls(String),
    /// Waiting for sockets failed.
    #[error("the load stopped: {0}")]
    Wait(io::Error),
    /// A thread panicked.
    #[error("the load stopped because of a defect in this program")]
    Defect,
}

//! Why a tick failed.

use api_failure::ApiFailure;

use super::definition::Dropped;
use crate::{cluster::WriteError, process::lease::LostLease};

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused a read or write, or did not answer.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The API server refused an event, or did not answer.
    #[error("publish an event: {0}")]
    Event(ApiFailure),
    /// The target is no longer what the plan is about.
    #[error("{what} of {target} has changed since it was analysed")]
    Moved {
        /// The target.
        target: String,
        /// `pod template`, `configuration` or `primary`.
        what: &'static str,
    },
    /// The status was written, and the API server did not keep all of it.
    #[error(transparent)]
    Definition(#[from] Dropped),
    /// This process may no longer act.
    #[error(transparent)]
    Lease(#[from] LostLease),
}

impl ApplyError {
    /// Returns whether someone else changed something first, which the next tick simply observes.
    #[must_use]
    pub fn is_race(&self) -> bool {
        match self {
            ApplyError::Write(error) => error.is_conflict(),
            ApplyError::Moved { .. } => true,
            ApplyError::Event(_) | ApplyError::Definition(_) | ApplyError::Lease(_) => false,
        }
    }
}

/// Why a tick failed; the next one comes after a pause.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// An action failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A read failed.
    #[error("cannot read what was written: {0}")]
    Read(ApiFailure),
    /// A defect of this program, confined to one canary.
    #[error("defect: {0}")]
    Panic(String),
}

impl From<ApiFailure> for TickError {
    fn from(failure: ApiFailure) -> Self {
        Self::Read(failure)
    }
}

impl From<LostLease> for TickError {
    fn from(error: LostLease) -> Self {
        Self::Apply(error.into())
    }
}

impl From<WriteError> for TickError {
    fn from(error: WriteError) -> Self {
        Self::Apply(error.into())
    }
}

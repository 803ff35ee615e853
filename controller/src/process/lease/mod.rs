//! Leader election by a Lease.
//!
//! # Expected flow
//! One process holds the Lease and renews it; the others watch it by reading. When it has not changed for its
//! duration, the first to write takes it.
//!
//! # Guarantees
//! The holder stops acting before its Lease can be taken: at the renew deadline, measured from the *start* of its
//! last successful renewal. Others measure expiry from when they themselves first saw the record, so clocks of
//! different machines need not agree. Writes are guarded by `resourceVersion`.
//!
//! # Assumptions
//! Clocks of all machines run at about the same speed.

mod decide;
mod driver;

use std::{fmt, time::Duration};

use tokio::{sync::watch, time::Instant};

pub use decide::{Decision, Record, Seen, decide};
pub use driver::{Elector, LeaseError};

/// Name of the Lease, as Flagger's.
pub const NAME: &str = "flagger-leader-election";

/// Times of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a record counts after it was last seen to change.
    pub duration: Duration,
    /// How long after its last renewal the holder still acts; shorter than `duration`.
    pub renew_deadline: Duration,
    /// Pause between two tries.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Whether this process may act.
#[derive(Debug, Clone)]
pub struct Fence(watch::Receiver<Permit>);

/// Until when this process may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permit {
    /// It may not.
    Never,
    /// Until then.
    Until(Instant),
    /// Always: there is no election.
    Always,
}

/// This process may not act: another one may hold the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process does not hold the lease")]
pub struct LostLease;

impl Fence {
    /// A fence that is always open, for a controller without election.
    #[must_use]
    pub fn open() -> Self {
        let (_, receiver) = watch::channel(Permit::Always);
        Self(receiver)
    }

    /// Whether this process may act at this moment.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self) -> Result<(), LostLease> {
        match *self.0.borrow() {
            Permit::Always => Ok(()),
            Permit::Until(end) if Instant::now() < end => Ok(()),
            Permit::Until(_) | Permit::Never => Err(LostLease),
        }
    }

    /// Waits until this process may act.
    pub async fn opened(&mut self) {
        // An error means that the elector is gone; then nobody will ever open it.
        if self
            .0
            .wait_for(|permit| *permit != Permit::Never)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.check().is_ok() {
            "leading"
        } else {
            "standing by"
        })
    }
}

#[cfg(test)]
mod tests;

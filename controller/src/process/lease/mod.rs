//! Leader election with a Lease.
//!
//! # Expected flow
//! One process holds the Lease and renews it three times per duration. The others read it eight times per duration. If
//! it has not changed for its duration, the first process to write takes it.
//!
//! # Takeover
//! A killed holder renewed the Lease at most a third of the duration ago. A standby sees that renewal up to an eighth
//! later, waits for the duration from then on, and writes as soon as it is over. So a takeover takes two thirds to nine
//! eighths of the duration: with the default of 4 s, 2.7 to 4.5 s, and 3.6 s on average. The new holder's local copies
//! are already up to date, so it reconciles every canary at once.
//!
//! # Guarantees
//! The holder stops acting before another process can take its Lease: at the renew deadline, measured from the *start* of
//! its last successful renewal. Ticks in progress stop then too. Other processes measure the expiry from when they first
//! saw the record, so the clocks of different machines need not agree. The quarter of the duration between the two
//! allows for clock drift, and for requests that the API server has received but not finished. `resourceVersion` guards
//! the writes.
//!
//! A holder that could not renew keeps trying. If no other process has written the Lease by then, it is active again;
//! otherwise it exits. A standby without a response cannot know whether the holder gets one. Once the API server responds
//! again, the standby grants the holder half the duration to renew. So an outage moves the Lease only if the holder dies
//! during it. A deleted Lease is treated like one that is not renewed.
//!
//! # Assumptions
//! The clocks of all machines run at about the same speed.

mod decide;
mod driver;

use std::{fmt, time::Duration};

use tokio::{sync::watch, time::Instant};

pub use decide::{Decision, Record, Seen, decide};
pub use driver::{Elector, LeaseError};

/// Name of the Lease. The same as Flagger's.
pub const NAME: &str = "flagger-leader-election";

/// Default duration of the Lease.
pub const DURATION: Duration = Duration::from_secs(4);

/// Timing of the election. All times derive from the duration of the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    duration: Duration,
}

impl Times {
    /// Returns the timing for a Lease of this duration, rounded down to whole seconds.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        let seconds = duration.as_secs().max(1);
        Self {
            duration: Duration::from_secs(seconds),
        }
    }

    /// How long a Lease is valid after it was last seen to change.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long the holder stays active after its last renewal.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.duration * 3 / 4
    }

    /// Interval between the starts of two renewals.
    fn renewal(&self) -> Duration {
        self.duration / 3
    }

    /// Pause between two reads of another process's Lease.
    fn read(&self) -> Duration {
        self.duration / 8
    }

    /// Pause after a failed renewal.
    fn retry(&self) -> Duration {
        self.duration / 8
    }

    /// Timeout of one renewal. A renewal that hangs must leave time for another one.
    fn longest_try(&self) -> Duration {
        self.renew_deadline() / 2
    }

    /// Time that a holder gets to renew after an API server outage: one attempt that hangs, a pause, and another attempt.
    fn grace(&self) -> Duration {
        self.longest_try() + self.retry()
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::of(DURATION)
    }
}

/// The permission of this process to act. Open while it holds the Lease.
#[derive(Debug, Clone)]
pub struct Fence(watch::Receiver<Permit>);

/// How long this process may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permit {
    /// This process does not hold the Lease.
    Never,
    /// Until this time, unless the Lease is renewed.
    Until(Instant),
    /// Leader election is disabled.
    Always,
}

/// This process may not act, because another one may hold the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process does not hold the lease")]
pub struct LostLease;

impl Fence {
    /// Returns a fence that is always open, for a controller without leader election.
    #[must_use]
    pub fn open() -> Self {
        let (_, receiver) = watch::channel(Permit::Always);
        Self(receiver)
    }

    /// Checks that this process may act now.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(&self) -> Result<(), LostLease> {
        match *self.0.borrow() {
            Permit::Always => Ok(()),
            Permit::Until(end) if Instant::now() < end => Ok(()),
            Permit::Until(_) | Permit::Never => Err(LostLease),
        }
    }

    /// Waits until this process may no longer act.
    pub async fn closed(&self) {
        let mut permit = self.0.clone();
        loop {
            let now = *permit.borrow_and_update();
            let end = match now {
                Permit::Always => return std::future::pending().await,
                Permit::Never => return,
                Permit::Until(end) => end,
            };
            tokio::select! {
                () = tokio::time::sleep_until(end) => {
                    if self.check().is_err() {
                        return;
                    }
                }
                renewed = permit.changed() => {
                    if renewed.is_err() {
                        // The elector was dropped, so nobody extends the permit.
                        return tokio::time::sleep_until(end).await;
                    }
                }
            }
        }
    }

    /// Waits until this process may act.
    pub async fn opened(&mut self) {
        // An error means that the elector was dropped, so nobody will open the fence.
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

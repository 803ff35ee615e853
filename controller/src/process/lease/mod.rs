//! Leader election by a Lease.
//!
//! # Expected flow
//! One process holds the Lease and renews it three times in its duration. The others read it eight times in its
//! duration. When it has not changed for its duration, the first to write takes it.
//!
//! # Take-over
//! A holder that is killed last renewed at most a third of the duration ago. A reader sees that renewal up to an eighth
//! later, waits for the duration from then on, and writes at the moment it is over. So a take-over takes two thirds to
//! nine eighths of the duration: with the default of 4 s, 2.7 to 4.5 s, and 3.6 s on average. The new holder has
//! followed the cluster all along, and reconciles every canary at once.
//!
//! # Guarantees
//! The holder stops acting before its Lease can be taken: at the renew deadline, measured from the *start* of its last
//! successful renewal. Ticks under way stop then too. Others measure expiry from when they themselves first saw the
//! record, so clocks of different machines need not agree. The quarter of the duration between the two is for clocks that
//! run at different speed and for requests that the API server has received but not finished. Writes are guarded by
//! `resourceVersion`.
//!
//! A holder that could not renew goes on trying. If nobody else wrote the Lease meanwhile, it acts again; if somebody
//! did, it ends. A reader that got no answer cannot know whether the holder gets one. When the API server answers it
//! again, it gives the holder half the duration to renew. So an outage moves the Lease only if it outlives the holder.
//! A Lease that somebody deleted counts like one that is not renewed.
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

/// How long a Lease that is not renewed counts, by default.
pub const DURATION: Duration = Duration::from_secs(4);

/// Times of the election. All follow from one, so that they fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    duration: Duration,
}

impl Times {
    /// Times for a Lease that counts for `duration` after it was last seen to change. It is written in whole seconds.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        let seconds = duration.as_secs().max(1);
        Self {
            duration: Duration::from_secs(seconds),
        }
    }

    /// How long a record counts after it was last seen to change.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long after its last renewal the holder still acts.
    #[must_use]
    pub fn renew_deadline(&self) -> Duration {
        self.duration * 3 / 4
    }

    /// Time from the start of one renewal to the next.
    fn renewal(&self) -> Duration {
        self.duration / 3
    }

    /// Pause between two reads of the Lease of another.
    fn read(&self) -> Duration {
        self.duration / 8
    }

    /// Pause after a renewal that failed.
    fn retry(&self) -> Duration {
        self.duration / 8
    }

    /// How long one renewal may take. One that hangs must leave time for another.
    fn longest_try(&self) -> Duration {
        self.renew_deadline() / 2
    }

    /// How much time a holder gets to renew after the API server was away: a try that hangs, a pause, and another try.
    fn grace(&self) -> Duration {
        self.longest_try() + self.retry()
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::of(DURATION)
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

    /// Waits until this process may not act any more.
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
                        // The elector is gone, so the end stays where it is.
                        return tokio::time::sleep_until(end).await;
                    }
                }
            }
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

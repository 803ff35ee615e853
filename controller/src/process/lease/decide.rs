//! The election's decision, without a clock or a client.

use std::time::Duration;

use tokio::time::Instant;

/// The fields of a Lease that matter for the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Identity of the holder; empty if the Lease was released.
    pub holder: String,
    /// How long the Lease is valid without a renewal.
    pub duration: Duration,
    /// Resource version, which changes with every renewal.
    pub resource_version: String,
}

/// A record, and when this process first saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The record.
    pub record: Record,
    /// When it was first seen.
    pub since: Instant,
    /// Whether the record was extended. It can be extended only once. Otherwise an API server that fails every other
    /// request would keep the record of a dead holder alive.
    pub extended: bool,
}

impl Seen {
    /// Returns the current record. If it has not changed, it keeps the time at which it was first seen.
    #[must_use]
    pub fn update(before: Option<Seen>, record: Record, now: Instant) -> Seen {
        match before {
            Some(seen) if seen.record == record => seen,
            _ => Seen {
                record,
                since: now,
                extended: false,
            },
        }
    }

    /// Extends the record so that it is valid for at least `grace` from now. Only the first call for a record has an
    /// effect.
    #[must_use]
    pub fn extend(mut self, grace: Duration, now: Instant) -> Seen {
        let used = self.record.duration.saturating_sub(grace);
        if let Some(since) = now.checked_sub(used)
            && !self.extended
        {
            self.since = self.since.max(since);
            self.extended = true;
        }
        self
    }
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The Lease does not exist: create it.
    Create,
    /// The Lease is free or has expired: take it.
    Take,
    /// This process holds the Lease: renew it.
    Renew,
    /// Another process holds the Lease.
    Wait,
}

/// Decides the next step.
#[must_use]
pub fn decide(seen: Option<&Seen>, me: &str, now: Instant) -> Decision {
    match seen {
        None => Decision::Create,
        Some(seen) if seen.record.holder == me => Decision::Renew,
        Some(seen) if seen.record.holder.is_empty() => Decision::Take,
        Some(seen) if now.duration_since(seen.since) > seen.record.duration => Decision::Take,
        Some(_) => Decision::Wait,
    }
}

//! The decision, without a clock or a client.

use std::time::Duration;

use tokio::time::Instant;

/// What a Lease says, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Identity of the holder; empty when it was given back.
    pub holder: String,
    /// How long it counts.
    pub duration: Duration,
    /// Changes with every renewal.
    pub resource_version: String,
}

/// A record and when this process first saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The record.
    pub record: Record,
    /// When it was first seen.
    pub since: Instant,
    /// It was given more time once, which is enough: otherwise an API server that answers every other request would
    /// keep a dead holder's record alive.
    pub extended: bool,
}

impl Seen {
    /// The record now, keeping the time of the first sight if it is the one seen before.
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

    /// The record, which counts for `grace` from now on at least. Only the first call for a record changes it.
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

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There is no Lease: create it.
    Create,
    /// It is free or has expired: take it.
    Take,
    /// It is held by this process: renew it.
    Renew,
    /// Another process holds it.
    Wait,
}

/// Decides what to do about a Lease.
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

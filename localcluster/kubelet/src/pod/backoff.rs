//! Back-off between restarts of a container. Pure.

use std::time::Duration;

/// The first restart is immediate, the second waits for `first`, and every further one twice as
/// long as the one before, up to `most`. A run of at least twice `most` resets the back-off
/// (ten minutes in Kubernetes).
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: Duration::ZERO,
        }
    }

    /// Returns the back-off after a run that lasted `ran`.
    pub(crate) fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= self.most.saturating_mul(2) {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = if wait.is_zero() {
            self.first
        } else {
            wait.saturating_mul(2).min(self.most)
        };
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_and_a_long_run_resets_it() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
        let short = Duration::from_secs(1);
        let waits: Vec<u64> = (0..8).map(|_| backoff.after_run(short).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after_run(Duration::from_secs(600)).as_secs(), 0);
        assert_eq!(backoff.after_run(short).as_secs(), 10);
    }
}

//! How long a thread polls for the next event before it blocks.
//!
//! A thread that blocks has to be woken. That takes the system longer than a nearby server takes to respond, and costs both
//! of them CPU. So a thread polls for a short window first and yields its core between two polls. Where responses take
//! longer than the window, polling is wasted; the thread then does it less and less.

use std::time::{Duration, Instant};

/// A server on the same machine responds on one connection within this time, and on the first of several sooner.
const LONGEST_WINDOW: Duration = Duration::from_micros(50);
/// With many connections, this covers most gaps between responses and costs little where it does not.
const SHORTEST_WINDOW: Duration = Duration::from_micros(5);
/// Polling is tried again after at most this many blocking waits.
const MOST_SKIPS: u32 = 1024;

/// Decides whether to poll or to block, by how often polling has found an event so far.
#[derive(Debug)]
pub struct Spin {
    window: Duration,
    /// Waits that block before the next window.
    skips: u32,
    /// Waits that block after that, if the next window finds nothing.
    skips_after_next: u32,
}

impl Spin {
    /// Settings for a thread whose connections all send as fast as they can.
    pub fn for_connections(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        Self {
            window: (LONGEST_WINDOW / count).max(SHORTEST_WINDOW),
            skips: 0,
            skips_after_next: 1,
        }
    }

    /// Calls `poll` until it finds something or the window ends. False means: now block.
    ///
    /// # Errors
    /// Those of `poll`.
    pub(crate) fn run<E>(&mut self, mut poll: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        if self.skips > 0 {
            self.skips -= 1;
            return Ok(false);
        }
        let start = Instant::now();
        loop {
            if poll()? {
                self.skips_after_next = 1;
                return Ok(true);
            }
            if start.elapsed() >= self.window {
                self.skips = self.skips_after_next;
                self.skips_after_next = (self.skips_after_next * 2).min(MOST_SKIPS);
                return Ok(false);
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A window that no other load on the machine can make shorter or longer.
    fn spin(window: Duration) -> Spin {
        Spin {
            window,
            ..Spin::for_connections(1)
        }
    }

    fn nothing() -> Result<bool, Infallible> {
        Ok(false)
    }

    #[test]
    fn polling_in_vain_becomes_rarer_but_never_stops() {
        let mut spin = spin(Duration::ZERO);
        let mut skips_between = vec![0];
        while skips_between.len() < 14 {
            let mut polled = false;
            let poll = || {
                polled = true;
                nothing()
            };
            assert_eq!(spin.run(poll), Ok(false));
            if polled {
                skips_between.push(0);
            } else if let Some(skips) = skips_between.last_mut() {
                *skips += 1;
            }
        }
        skips_between.pop();
        let expected = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024];
        assert_eq!(skips_between, expected);
    }

    #[test]
    fn one_event_in_time_brings_polling_back() {
        let mut spin = spin(Duration::ZERO);
        for _ in 0..20 {
            assert_eq!(spin.run(nothing), Ok(false));
        }
        while spin.run(|| Ok::<_, Infallible>(true)) == Ok(false) {}
        spin.window = Duration::MAX;
        for _ in 0..100 {
            let mut polls = 0;
            let found = spin.run(|| {
                polls += 1;
                Ok::<_, Infallible>(polls == 3)
            });
            assert_eq!((found, polls), (Ok(true), 3));
        }
    }

    #[test]
    fn the_window_is_shorter_with_more_connections() {
        let window = |connections| Spin::for_connections(connections).window.as_micros();
        assert_eq!([1, 2, 500].map(window), [50, 25, 5]);
    }
}

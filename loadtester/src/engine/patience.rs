//! How long a thread looks out for the next answer before it sleeps.
//!
//! A thread that sleeps has to be woken, which takes the system longer than a near server takes to answer, and costs both
//! of them CPU. So a thread looks again and again for a moment first, and in between leaves the core to whoever wants
//! it. Where answers take longer, that is in vain, and soon it hardly ever does so.

use std::time::{Duration, Instant};

/// A server on the same machine answers one connection within this, and the first of several as much sooner.
const LONGEST_MOMENT: Duration = Duration::from_micros(50);
/// With many connections, this bridges most gaps between answers and costs little where it does not.
const SHORTEST_MOMENT: Duration = Duration::from_micros(5);
/// After this many sleeps in a row, looking out is tried again at the latest.
const MOST_SLEEPS: u32 = 1024;

/// Decides whether to look out or to sleep, by what looking out has brought so far.
#[derive(Debug)]
pub(crate) struct Patience {
    moment: Duration,
    /// Before the next try.
    sleeps: u32,
    /// Before the try after that, should the next one be in vain.
    sleeps_after_next: u32,
}

impl Patience {
    /// For a thread whose so many connections send as fast as they can.
    pub(crate) fn for_connections(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        Self {
            moment: (LONGEST_MOMENT / count).max(SHORTEST_MOMENT),
            sleeps: 0,
            sleeps_after_next: 1,
        }
    }

    /// Calls `look` until it has seen something or it is time to sleep; the result tells which.
    ///
    /// # Errors
    /// What `look` fails with.
    pub(crate) fn look_out<E>(
        &mut self,
        mut look: impl FnMut() -> Result<bool, E>,
    ) -> Result<bool, E> {
        if self.sleeps > 0 {
            self.sleeps -= 1;
            return Ok(false);
        }
        let start = Instant::now();
        loop {
            if look()? {
                self.sleeps_after_next = 1;
                return Ok(true);
            }
            if start.elapsed() >= self.moment {
                self.sleeps = self.sleeps_after_next;
                self.sleeps_after_next = (self.sleeps_after_next * 2).min(MOST_SLEEPS);
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

    /// With a moment that no other load on the machine can make shorter or longer.
    fn patience(moment: Duration) -> Patience {
        Patience {
            moment,
            ..Patience::for_connections(1)
        }
    }

    fn never() -> Result<bool, Infallible> {
        Ok(false)
    }

    #[test]
    fn who_looks_out_in_vain_does_so_less_and_less_but_goes_on_trying() {
        let mut patience = patience(Duration::ZERO);
        let mut sleeps_between = vec![0];
        while sleeps_between.len() < 14 {
            let mut looked = false;
            let look = || {
                looked = true;
                never()
            };
            assert_eq!(patience.look_out(look), Ok(false));
            if looked {
                sleeps_between.push(0);
            } else if let Some(sleeps) = sleeps_between.last_mut() {
                *sleeps += 1;
            }
        }
        sleeps_between.pop();
        let expected = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024];
        assert_eq!(sleeps_between, expected);
    }

    #[test]
    fn one_answer_in_time_and_it_looks_out_again() {
        let mut patience = patience(Duration::ZERO);
        for _ in 0..20 {
            assert_eq!(patience.look_out(never), Ok(false));
        }
        while patience.look_out(|| Ok::<_, Infallible>(true)) == Ok(false) {}
        patience.moment = Duration::MAX;
        for _ in 0..100 {
            let mut looks = 0;
            let found = patience.look_out(|| {
                looks += 1;
                Ok::<_, Infallible>(looks == 3)
            });
            assert_eq!((found, looks), (Ok(true), 3));
        }
    }

    #[test]
    fn the_first_of_several_answers_is_due_sooner() {
        let moment = |connections| Patience::for_connections(connections).moment.as_micros();
        assert_eq!([1, 2, 500].map(moment), [50, 25, 5]);
    }
}

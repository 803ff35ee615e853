//! How long a thread looks out for the next answer before it sleeps.
//!
//! A thread that sleeps has to be woken, which takes the system longer than a near server takes to answer, and costs both
//! of them CPU. So a thread with few connections looks again and again for a moment first, and in between leaves the
//! core to whoever wants it. Where answers take longer, that is in vain, and soon it hardly ever does so.

use std::time::{Duration, Instant};

/// A server on the same machine answers within this.
const MOMENT: Duration = Duration::from_micros(50);
/// With more connections than these, the next answer is nearly always there already.
const FEW_CONNECTIONS: usize = 4;
/// After this many sleeps in a row, looking out is tried again at the latest.
const MOST_SLEEPS: u32 = 1024;

/// Decides whether to look out or to sleep, by what looking out has brought so far.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Before the next try.
    sleeps: u32,
    /// Before the try after that, should the next one be in vain.
    sleeps_after_next: u32,
}

impl Patience {
    /// For a thread whose connections send as fast as they can. None where looking out would only cost CPU.
    pub(crate) fn for_connections(count: usize) -> Option<Self> {
        (count <= FEW_CONNECTIONS).then_some(Self {
            sleeps: 0,
            sleeps_after_next: 1,
        })
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
            if start.elapsed() >= MOMENT {
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

    fn never() -> Result<bool, Infallible> {
        Ok(false)
    }

    #[test]
    fn who_looks_out_in_vain_does_so_less_and_less_but_goes_on_trying() {
        let mut patience = Patience::for_connections(1).unwrap();
        let mut sleeps_between = Vec::new();
        let mut sleeps = 0;
        while sleeps_between.len() < 14 {
            let mut looked = false;
            let _ = patience.look_out(|| {
                looked = true;
                never()
            });
            if looked {
                sleeps_between.push(sleeps);
                sleeps = 0;
            }
            sleeps += 1;
        }
        let expected = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024];
        // Each try that is in vain ends in a sleep too.
        assert_eq!(
            sleeps_between,
            expected.map(|sleeps| if sleeps == 0 { 0 } else { sleeps + 1 })
        );
    }

    #[test]
    fn one_answer_in_time_and_it_looks_out_again() {
        let mut patience = Patience::for_connections(1).unwrap();
        for _ in 0..20 {
            let _ = patience.look_out(never);
        }
        while !patience.look_out(|| Ok::<_, Infallible>(true)).unwrap() {}
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
    fn many_connections_need_none() {
        assert!(Patience::for_connections(4).is_some());
        assert!(Patience::for_connections(5).is_none());
    }
}

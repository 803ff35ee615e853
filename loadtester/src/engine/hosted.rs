//! Runs the workers of one thread on tokio, for the protocols that hyper speaks.
//!
//! tokio's timers tick in milliseconds, so schedules are kept on average, not to the microsecond.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::control::Seat;
use super::runtime::{Runtime, Stopped};

/// Time and cancellation by tokio.
#[derive(Default)]
pub(crate) struct Hosted {
    cancelled: CancellationToken,
}

impl Hosted {
    /// Runs the futures to their ends on a runtime of this thread. `publish` is called whenever the seat is woken.
    ///
    /// # Errors
    /// The runtime cannot be started.
    pub(crate) fn run<'f>(
        &'f self,
        futures: Vec<Pin<Box<dyn Future<Output = ()> + 'f>>>,
        seat: &Seat,
        publish: impl Fn(),
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut workers: FuturesUnordered<_> = futures.into_iter().collect();
            loop {
                tokio::select! {
                    ended = workers.next() => {
                        if ended.is_none() {
                            return;
                        }
                    }
                    () = seat.woken() => {
                        if seat.is_cancelled() {
                            self.cancelled.cancel();
                        }
                        publish();
                    }
                }
            }
        });
        Ok(())
    }
}

impl Runtime for Hosted {
    async fn sleep_until(&self, _: usize, at: Instant) {
        if at > Instant::now() {
            tokio::select! {
                () = tokio::time::sleep_until(at.into()) => {}
                () = self.cancelled.cancelled() => {}
            }
        }
    }

    async fn within<F: Future>(
        &self,
        _: usize,
        deadline: Option<Instant>,
        future: F,
    ) -> Result<F::Output, Stopped> {
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = expired => Err(Stopped::Deadline),
            () = self.cancelled.cancelled() => Err(Stopped::Cancelled),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

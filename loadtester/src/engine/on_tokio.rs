//! Runs the workers of one thread on tokio, which hyper needs for HTTP/2.
//!
//! tokio's timers tick in milliseconds, so schedules are kept on average, not to the microsecond.

use std::future::Future;
use std::io;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use loadtester_http1::{Stopped, Task};
use tokio_util::sync::CancellationToken;

use super::control::ThreadControl;
use crate::runtime::Runtime;

/// Time and cancellation by tokio.
#[derive(Default)]
pub(crate) struct OnTokio {
    cancelled: CancellationToken,
}

impl OnTokio {
    /// Runs the tasks to their ends on a runtime of this thread. `publish` is called each time `control` is woken.
    ///
    /// # Errors
    /// The runtime cannot be started.
    pub(crate) fn run<'f>(
        &'f self,
        tasks: Vec<Task<'f>>,
        control: &ThreadControl,
        publish: impl Fn(),
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut workers: FuturesUnordered<_> = tasks.into_iter().collect();
            loop {
                tokio::select! {
                    ended = workers.next() => {
                        if ended.is_none() {
                            return;
                        }
                    }
                    () = control.woken() => {
                        if control.is_cancelled() {
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

impl Runtime for OnTokio {
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

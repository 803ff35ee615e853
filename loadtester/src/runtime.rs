//! Time and cancellation for the workers of one thread, whichever engine runs them.

use std::future::Future;
use std::time::Instant;

use loadtester_http1::{Reactor, Stopped};

/// Time and cancellation for the workers of one thread.
pub(crate) trait Runtime {
    /// Waits until `at`. Returns at once if that has passed, and early when the run is cancelled.
    fn sleep_until(&self, worker: usize, at: Instant) -> impl Future<Output = ()>;

    /// Runs `future` until it ends, `deadline` passes or the run is cancelled.
    fn within<F: Future>(
        &self,
        worker: usize,
        deadline: Option<Instant>,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Stopped>>;

    /// True once the run is cancelled.
    fn is_cancelled(&self) -> bool;
}

impl Runtime for Reactor {
    fn sleep_until(&self, worker: usize, at: Instant) -> impl Future<Output = ()> {
        self.sleep_until(worker, at)
    }

    fn within<F: Future>(
        &self,
        worker: usize,
        deadline: Option<Instant>,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Stopped>> {
        self.within(worker, deadline, future)
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled()
    }
}

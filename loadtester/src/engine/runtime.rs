//! What a worker needs of whoever runs it.

use std::future::Future;
use std::time::Instant;

/// Why something was not waited for to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The deadline passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
}

/// Time and cancellation for the workers of one thread.
pub(crate) trait Runtime {
    /// Waits until `at`; returns at once if that has passed, and early when the run is cancelled.
    fn sleep_until(&self, worker: usize, at: Instant) -> impl Future<Output = ()>;

    /// Waits for `future` until `deadline` or cancellation.
    fn within<F: Future>(
        &self,
        worker: usize,
        deadline: Option<Instant>,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Stopped>>;

    /// Whether the run was cancelled.
    fn is_cancelled(&self) -> bool;
}

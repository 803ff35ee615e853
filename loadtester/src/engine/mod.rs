//! Runs a plan: starts the threads, lets others watch or cancel it, merges the totals of the threads.
//!
//! A run starts once. The plan's protocol decides which engine its threads use: the reactor of `loadtester-http1` for
//! HTTP/1.1, with TLS or without, or tokio for HTTP/2. A redirect between `http://` and `https://` changes neither the engine nor
//! the run.

mod control;
mod error;
mod on_tokio;
mod thread;

use std::io;
use std::sync::Arc;
use std::time::Instant;

pub use control::Control;
pub use error::EngineError;

use crate::client::tls;
use crate::plan::{Plan, Protocol};
use crate::recorder::{Outcome, Totals};
use crate::report::csv;
use control::ThreadControl;
use rustix::process::{Resource, getrlimit, setrlimit};
use thread::Run;

/// Runs the plan to its end; blocks. `rows` receives one row for each response.
///
/// # Errors
/// See [`EngineError`]. A target that cannot be reached is not an error; its requests are counted as failed.
pub fn run(
    plan: &Plan,
    control: &Arc<Control>,
    rows: Option<csv::Sink>,
) -> Result<Outcome, EngineError> {
    let http2 = plan.protocol == Protocol::Http2;
    let tls = tls::settings(plan.ca_file.as_deref(), http2).map_err(EngineError::Tls)?;
    let threads: Vec<ThreadControl> = (0..plan.threads)
        .map(|_| control.thread())
        .collect::<io::Result<_>>()
        .map_err(EngineError::Start)?;
    let start = Instant::now();
    control.begin(start + plan.limit.warmup);
    let run = Run {
        plan,
        start,
        tls,
        rows,
    };
    let shares = run_threads(&run, control, threads);
    let mut elapsed = start.elapsed().saturating_sub(plan.limit.warmup);
    if let Some(duration) = plan.limit.duration
        && !control.is_cancelled()
    {
        // The last beat is before the end, but the schedule took all of its time.
        elapsed = elapsed.max(duration);
    }
    let mut totals = Totals::new(plan.is_scheduled());
    for share in shares {
        totals.merge(&*share?);
    }
    Ok(Outcome { totals, elapsed })
}

fn run_threads(
    run: &Run<'_>,
    control: &Arc<Control>,
    threads: Vec<ThreadControl>,
) -> Vec<Result<Arc<Totals>, EngineError>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = threads
            .into_iter()
            .enumerate()
            .map(|(thread, of_thread)| {
                let run = run.clone();
                std::thread::Builder::new()
                    .name(format!("load-{thread}"))
                    .spawn_scoped(scope, move || {
                        let mut guard = CancelUnlessDone {
                            control,
                            done: false,
                        };
                        let result = run.share(thread, &of_thread);
                        guard.done = result.is_ok();
                        result
                    })
            })
            .collect();
        if threads.iter().any(Result::is_err) {
            control.cancel();
        }
        threads
            .into_iter()
            .map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or(Err(EngineError::Defect)),
                Err(error) => Err(EngineError::Start(error)),
            })
            .collect()
    })
}

/// Cancels the run if one thread fails or panics: without its share there is no result.
struct CancelUnlessDone<'c> {
    control: &'c Control,
    done: bool,
}

impl Drop for CancelUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.control.cancel();
        }
    }
}

/// Raises the limit on open descriptors to the hard limit. Each worker needs two, and the usual soft limit of 1024 exists for
/// programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // On failure the old limit holds, and the error of the first socket beyond it says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

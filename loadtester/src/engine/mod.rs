//! Runs a plan: starts the threads, lets others look at it or end it, merges what the threads saw.

mod control;
mod hosted;
mod patience;
mod reactor;
mod runtime;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use control::Control;
pub(crate) use reactor::Reactor;
pub(crate) use runtime::{Runtime, Stopped};

use crate::client::{general, http1, tls};
use crate::plan::{Plan, Protocol};
use crate::recorder::Totals;
use crate::report::csv;
use crate::schedule::{Pacing, Schedule, workers_of};
use crate::worker::{Crew, Log, Turn};
use control::Seat;
use hosted::Hosted;
use patience::Patience;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::ClientConfig;

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system has no thread or descriptor left.
    #[error("cannot start the load: {0} (ulimit -n and -u say how much is allowed)")]
    Start(io::Error),
    /// The certificates to trust cannot be used.
    #[error("--cacert: {0}")]
    Tls(String),
    /// Waiting for sockets failed.
    #[error("the load broke off: {0}")]
    Wait(io::Error),
    /// A thread panicked: a defect.
    #[error("the load broke off by a defect of this program")]
    Defect,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What all threads saw.
    pub totals: Totals,
    /// From the end of the warm-up to the last answer.
    pub elapsed: Duration,
}

/// Runs the plan to its end; blocks. `rows` takes one line per answer.
///
/// # Errors
/// See [`EngineError`]; a target that cannot be reached is none, but is counted in the result.
pub fn run(
    plan: &Plan,
    control: &Arc<Control>,
    rows: Option<csv::Sink>,
) -> Result<Outcome, EngineError> {
    let speaks_tls = !plan.is_plain_http1();
    let outcome = attempt(plan, control, rows.clone(), speaks_tls)?;
    if control.begins_again() {
        // What is measured is the way by the redirect, so not the answer that told it either.
        return attempt(plan, control, rows, true);
    }
    Ok(outcome)
}

/// A run by the client for plain HTTP/1.1 or by the one that speaks everything. The first may find at once that it cannot
/// do it: see [`Control::begins_again`].
fn attempt(
    plan: &Plan,
    control: &Arc<Control>,
    rows: Option<csv::Sink>,
    speaks_tls: bool,
) -> Result<Outcome, EngineError> {
    let tls = if speaks_tls {
        let http2 = plan.protocol == Protocol::Http2;
        Some(tls::settings(plan.ca_file.as_deref(), http2).map_err(EngineError::Tls)?)
    } else {
        None
    };
    let seats: Vec<Seat> = (0..plan.threads)
        .map(|_| control.seat())
        .collect::<io::Result<_>>()
        .map_err(EngineError::Start)?;
    let start = Instant::now();
    control.begin(start + plan.limit.warmup);
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = seats
            .into_iter()
            .enumerate()
            .map(|(thread, seat)| {
                let (rows, tls) = (rows.clone(), tls.clone());
                std::thread::Builder::new()
                    .name(format!("load-{thread}"))
                    .spawn_scoped(scope, move || {
                        let mut share = Share {
                            control,
                            is_whole: false,
                        };
                        let result = run_thread(plan, thread, start, &seat, rows, tls);
                        share.is_whole = result.is_ok();
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
            .collect::<Vec<_>>()
    });
    let mut elapsed = start.elapsed().saturating_sub(plan.limit.warmup);
    if let Some(duration) = plan.limit.duration
        && !control.is_cancelled()
    {
        // The last beat lies before the end, and yet the schedule took all of its time.
        elapsed = elapsed.max(duration);
    }
    let mut totals = Totals::new(is_scheduled(plan));
    for result in results {
        totals.merge(&*result?);
    }
    Ok(Outcome { totals, elapsed })
}

/// One thread's share of a run. A run that lacks a share is none, so the others end too, also after a panic.
struct Share<'c> {
    control: &'c Control,
    is_whole: bool,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.control.cancel();
        }
    }
}

/// Lets this process open as many descriptors as it is allowed to ask for: each worker needs two, and the usual soft
/// limit of 1024 is there for programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If that is refused, the limit as it was shows in the error of the socket that is one too many.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Whether requests have a moment they are due at.
fn is_scheduled(plan: &Plan) -> bool {
    plan.pacing != Pacing::Unpaced
}

/// Runs one thread's share of the plan: on the reactor if it is plain HTTP/1.1, else on tokio.
fn run_thread(
    plan: &Plan,
    thread: usize,
    start: Instant,
    seat: &Seat,
    rows: Option<csv::Sink>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Arc<Totals>, EngineError> {
    let workers = workers_of(thread, plan.threads, plan.workers);
    let log = Log {
        schedule: RefCell::new(Schedule::new(
            plan.pacing,
            plan.limit,
            plan.workers,
            thread,
            plan.threads,
        )),
        turn: Turn::of_thread(thread),
        totals: RefCell::new(Totals::new(is_scheduled(plan))),
        rows: rows.map(|sink| RefCell::new(csv::Rows::new(sink))),
    };
    let publish = || seat.publish(Arc::new(log.totals.borrow().clone()));
    let ask_for_tls = || seat.ask_for_tls();
    if let Some(tls) = tls {
        let hosted = Hosted::default();
        let shared = general::Shared::new(plan, tls);
        let crew = Crew {
            plan,
            runtime: &hosted,
            start,
            log: &log,
            ask_for_tls: &ask_for_tls,
        };
        let futures = (0..workers).map(|worker| {
            Box::pin(crew.work(worker, general::General::new(&shared))) as Worker<'_>
        });
        hosted
            .run(futures.collect(), seat, publish)
            .map_err(EngineError::Wait)?;
    } else {
        let reactor = Reactor::new(workers, seat.waker()).map_err(EngineError::Start)?;
        let shared = http1::Shared::new(plan);
        let crew = Crew {
            plan,
            runtime: &reactor,
            start,
            log: &log,
            ask_for_tls: &ask_for_tls,
        };
        let futures = (0..workers).map(|worker| {
            Box::pin(crew.work(worker, http1::Http1::new(worker, &reactor, &shared))) as Worker<'_>
        });
        // With a schedule there is more to sleep than to do.
        let patience = match plan.pacing {
            Pacing::Unpaced => Some(Patience::for_connections(workers)),
            _ => None,
        };
        let waited = reactor.run(futures.collect(), patience, |reactor| {
            if seat.is_cancelled() {
                reactor.cancel();
            }
            publish();
        });
        waited.map_err(EngineError::Wait)?;
    }
    if let Some(rows) = &log.rows
        && !seat.is_to_begin_again()
    {
        rows.borrow_mut().flush();
    }
    let mut totals = log.totals.into_inner();
    totals.add_unsent(log.schedule.borrow().unsent(start.elapsed()));
    // A look at the run after this thread's end sees all of it.
    let totals = Arc::new(totals);
    seat.publish(Arc::clone(&totals));
    Ok(totals)
}

type Worker<'w> = Pin<Box<dyn Future<Output = ()> + 'w>>;

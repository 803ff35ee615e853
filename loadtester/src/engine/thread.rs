//! One thread's share of a run, on the engine for the plan's protocol.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use loadtester_http1::{Reactor, Spin, Task};
use rustls::ClientConfig;

use super::control::ThreadControl;
use super::error::EngineError;
use super::on_tokio::OnTokio;
use crate::client::{Client, http1, http2};
use crate::plan::{Plan, Protocol};
use crate::recorder::Totals;
use crate::report::csv;
use crate::runtime::Runtime;
use crate::schedule::{Pacing, Schedule, workers_of};
use crate::worker::{Crew, Log, Turn};

/// State that all threads of a run share.
#[derive(Clone)]
pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) start: Instant,
    pub(super) tls: Arc<ClientConfig>,
    /// Receives one row for each response.
    pub(super) rows: Option<csv::Sink>,
}

impl Run<'_> {
    /// Runs the share of thread `thread` to its end.
    pub(super) fn share(
        &self,
        thread: usize,
        control: &ThreadControl,
    ) -> Result<Arc<Totals>, EngineError> {
        let plan = self.plan;
        let log = Log {
            schedule: RefCell::new(Schedule::new(
                plan.pacing,
                plan.limit,
                plan.workers,
                thread,
                plan.threads,
            )),
            turn: Turn::of_thread(thread),
            totals: RefCell::new(Totals::new(plan.is_scheduled())),
            rows: self
                .rows
                .clone()
                .map(|sink| RefCell::new(csv::Rows::new(sink))),
        };
        let workers = workers_of(thread, plan.threads, plan.workers);
        match plan.protocol {
            Protocol::Http1 => self.on_reactor(workers, &log, control)?,
            Protocol::Http2 | Protocol::Http2Plain => self.on_tokio(workers, &log, control)?,
        }
        if let Some(rows) = &log.rows {
            rows.borrow_mut().flush();
        }
        let mut totals = log.totals.into_inner();
        totals.add_unsent(log.schedule.borrow().unsent(self.start.elapsed()));
        let totals = Arc::new(totals);
        // A snapshot after this thread's end has all of its totals.
        control.publish(Arc::clone(&totals));
        Ok(totals)
    }

    /// HTTP/1.1, with TLS or without.
    fn on_reactor(
        &self,
        workers: usize,
        log: &Log,
        control: &ThreadControl,
    ) -> Result<(), EngineError> {
        let reactor = Reactor::new(workers, control.wake()).map_err(EngineError::Start)?;
        let shared = http1::Shared::new(self.plan, &reactor, Arc::clone(&self.tls));
        let crew = self.crew(&reactor, log);
        let client = |worker| http1::Http1::new(worker, &shared);
        // A thread with a schedule sleeps most of the time, so polling would only cost CPU.
        let spin = (self.plan.pacing == Pacing::Unpaced).then(|| Spin::for_connections(workers));
        let result = reactor.run(tasks(&crew, workers, client), spin, |reactor| {
            if control.is_cancelled() {
                reactor.cancel();
            }
            publish(log, control);
        });
        result.map_err(EngineError::Wait)
    }

    /// HTTP/2.
    fn on_tokio(
        &self,
        workers: usize,
        log: &Log,
        control: &ThreadControl,
    ) -> Result<(), EngineError> {
        let tokio = OnTokio::default();
        let shared = http2::Shared::new(self.plan, Arc::clone(&self.tls));
        let crew = self.crew(&tokio, log);
        let client = |_| http2::Http2Client::new(&shared);
        let tasks = tasks(&crew, workers, client);
        let result = tokio.run(tasks, control, || publish(log, control));
        result.map_err(EngineError::Wait)
    }

    fn crew<'c, R>(&'c self, runtime: &'c R, log: &'c Log) -> Crew<'c, R> {
        Crew {
            plan: self.plan,
            runtime,
            start: self.start,
            log,
        }
    }
}

/// One task for each worker.
fn tasks<'c, R: Runtime, C: Client + 'c>(
    crew: &'c Crew<'c, R>,
    workers: usize,
    client: impl Fn(usize) -> C,
) -> Vec<Task<'c>> {
    (0..workers)
        .map(|worker| Box::pin(crew.work(worker, client(worker))) as Task<'c>)
        .collect()
}

fn publish(log: &Log, control: &ThreadControl) {
    control.publish(Arc::new(log.totals.borrow().clone()));
}

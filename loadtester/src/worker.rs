//! The loop that every worker runs, whatever its client, pacing or limit.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::{Duration, Instant};

use loadtester_http1::Stopped;

use crate::client::{Client, Failure, exchange};
use crate::plan::Plan;
use crate::recorder::{Response, Totals};
use crate::report::csv::Rows;
use crate::runtime::Runtime;
use crate::schedule::{Next, Schedule};

/// Longest pause of a worker that cannot reach its target; the first is a millisecond, and each is twice the last.
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// State that the workers of one thread share. They run only on that thread, so borrows need no lock.
pub(crate) struct Crew<'p, R> {
    pub(crate) plan: &'p Plan,
    pub(crate) runtime: &'p R,
    /// Start of the run, from which the schedule counts.
    pub(crate) start: Instant,
    pub(crate) log: &'p Log,
}

/// The requests still to send, and the results of those sent.
pub(crate) struct Log {
    pub(crate) schedule: RefCell<Schedule>,
    pub(crate) turn: Turn,
    pub(crate) totals: RefCell<Totals>,
    pub(crate) rows: Option<RefCell<Rows>>,
}

/// The plan's next target. The threads take the targets round robin, so that each target gets the same number of requests.
pub(crate) struct Turn(Cell<usize>);

impl Turn {
    /// The first target of a thread.
    pub(crate) fn of_thread(thread: usize) -> Self {
        Self(Cell::new(thread))
    }

    fn next(&self, plan: &Plan) -> usize {
        let count = plan.targets.len();
        let target = self.0.get() % count;
        self.0.set((target + plan.threads) % count);
        target
    }
}

impl<R: Runtime> Crew<'_, R> {
    /// Sends requests until the schedule ends or the run is cancelled.
    pub(crate) async fn work(&self, worker: usize, mut client: impl Client) {
        // After this moment, requests in flight are cut off.
        let plan = self.plan;
        let last_moment = plan
            .limit
            .duration
            .zip(plan.drain)
            .map(|(duration, drain)| self.start + plan.limit.warmup + duration + drain);
        let mut pause = Duration::from_millis(1);
        let mut now = Instant::now();
        loop {
            let next = self
                .log
                .schedule
                .borrow_mut()
                .next(worker, now.saturating_duration_since(self.start));
            let Next::Send { due, recorded } = next else {
                return;
            };
            let due = due.map(|offset| self.start + offset);
            if let Some(due) = due
                && due > now
            {
                self.runtime.sleep_until(worker, due).await;
                now = Instant::now();
            }
            if self.runtime.is_cancelled() {
                return;
            }
            let target = self.log.turn.next(plan);
            let sent = now;
            let limit = plan.timeout.map(|timeout| sent + timeout);
            let deadline = match (limit, last_moment) {
                (Some(limit), Some(last)) => Some(limit.min(last)),
                (limit, last) => limit.or(last),
            };
            // Pinned here, so that only a pointer is passed on: the future holds a whole exchange.
            let exchange = pin!(exchange(&mut client, plan, target, sent));
            let result = self.runtime.within(worker, deadline, exchange).await;
            now = match &result {
                Ok(Ok(reply)) => reply.done,
                _ => Instant::now(),
            };
            let mut failure = None;
            match result {
                Ok(Ok(reply)) => {
                    pause = Duration::from_millis(1);
                    if recorded {
                        let response = Response {
                            status: reply.status,
                            bytes: reply.bytes,
                            timing: reply.timing,
                        };
                        let latency = now - sent;
                        let corrected = due.map(|due| now.saturating_duration_since(due));
                        let mut totals = self.log.totals.borrow_mut();
                        totals.record(&response, latency, corrected);
                        if let Some(rows) = &self.log.rows {
                            rows.borrow_mut()
                                .push(&response, latency, sent - self.start);
                        }
                    }
                }
                Ok(Err(error)) => failure = Some(error),
                Err(Stopped::Deadline) if deadline == limit => {
                    failure = Some(Failure::Timeout(plan.timeout.unwrap_or_default()));
                }
                Err(_) if recorded => self.log.totals.borrow_mut().cut_off(),
                Err(_) => {}
            }
            if let Some(failure) = failure {
                if recorded {
                    self.log.totals.borrow_mut().record_failure(&failure);
                }
                if failure.is_unreachable() {
                    self.runtime.sleep_until(worker, now + pause).await;
                    now = Instant::now();
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

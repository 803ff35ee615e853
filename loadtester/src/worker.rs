//! The one loop that every worker runs, whatever its client, pacing or limit.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::client::{Client, Failure};
use crate::engine::{Runtime, Stopped};
use crate::plan::Plan;
use crate::recorder::Totals;
use crate::report::csv::Rows;
use crate::schedule::{Next, Schedule};

/// Longest pause of a worker that cannot reach its target; it begins with a millisecond and doubles.
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// What the workers of one thread share. They run on that thread only, so a borrow is no lock.
pub(crate) struct Crew<'p, R> {
    pub(crate) plan: &'p Plan,
    pub(crate) runtime: &'p R,
    /// Offsets of the schedule count from here.
    pub(crate) start: Instant,
    pub(crate) log: &'p Log,
    /// Called when the first answer leads to where the run's client cannot follow.
    pub(crate) ask_for_tls: &'p dyn Fn(),
}

/// What is still to be sent, and what came of what was sent.
pub(crate) struct Log {
    pub(crate) schedule: RefCell<Schedule>,
    pub(crate) turn: Turn,
    pub(crate) totals: RefCell<Totals>,
    pub(crate) rows: Option<RefCell<Rows>>,
}

/// Whose turn it is of the plan's targets. The threads take them round robin, so that all together ask for each as often.
pub(crate) struct Turn(Cell<usize>);

impl Turn {
    /// The turns of one of the plan's threads.
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
        // Drained requests may outlast the end by this much.
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
            // Pinned here, so that only a pointer is handed on: the future holds a whole conversation.
            let exchange = pin!(client.exchange(target, sent));
            let result = self.runtime.within(worker, deadline, exchange).await;
            now = match &result {
                Ok(Ok(exchange)) => exchange.done,
                _ => Instant::now(),
            };
            let mut failure = None;
            match result {
                Ok(Ok(exchange)) => {
                    pause = Duration::from_millis(1);
                    if recorded {
                        let latency = exchange.done - sent;
                        let corrected = due.map(|due| exchange.done.saturating_duration_since(due));
                        self.log
                            .totals
                            .borrow_mut()
                            .answered(&exchange.answer, latency, corrected);
                        if let Some(rows) = &self.log.rows {
                            rows.borrow_mut()
                                .push(&exchange.answer, latency, sent - self.start);
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
                if let Failure::LeadsToTls(_) = failure
                    && self.log.totals.borrow().is_untouched()
                {
                    (self.ask_for_tls)();
                    return;
                }
                if recorded {
                    self.log.totals.borrow_mut().failed(&failure);
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

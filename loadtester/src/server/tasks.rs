//! Running jobs: at most one for a canary and command, bounded in number, rate and time, open to inspection.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::exec;
use super::job::Job;
use super::metrics::Metrics;
use super::payload::Payload;
use super::verdicts::{Key, Verdicts};
use crate::engine::{self, Control};
use crate::plan::Plan;
use crate::recorder::Totals;
use crate::report::json::Report;
use crate::report::text;
use crate::report::thresholds::Breach;

/// How often a running load is looked at; figures shown are at most this old.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ended tasks that are remembered.
const REMEMBERED: usize = 50;
/// Fewer requests than this say nothing about a running load.
const ENOUGH_REQUESTS: u64 = 100;

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Tasks at the same time.
    pub tasks: usize,
    /// Requests per second of all tasks together; with it, a load without a rate is refused.
    pub rate: Option<f64>,
    /// Workers of one load.
    pub workers: usize,
    /// Time after which a task is ended.
    pub timeout: Duration,
}

/// A job that may not start now; answered with 429, or with 503 by a server that stops.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Rejected {
    /// The server stops.
    #[error(
        "this load tester is stopping and starts nothing more: call again when the next one runs"
    )]
    Stopping,
    /// Too many tasks.
    #[error("{0} tasks are running, which is as many as --max-tasks allows")]
    Tasks(usize),
    /// Too high a rate.
    #[error("{asked}/s on top of the {running}/s running is more than the {most}/s of --max-rate")]
    Rate {
        /// Asked for.
        asked: f64,
        /// Of running tasks.
        running: f64,
        /// Allowed.
        most: f64,
    },
    /// No rate given.
    #[error(
        "a load without a rate may take any, and --max-rate allows {0}/s: give it one with -q or --rate"
    )]
    NoRate(f64),
    /// Too many workers.
    #[error("{0} workers are more than the {1} of --max-workers")]
    Workers(usize, usize),
}

/// What became of a submitted job.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// The task that runs it.
    pub id: u64,
    /// How it ended, once it has; none if it had been running before this call.
    pub end: Option<oneshot::Receiver<End>>,
    /// Why the load does not meet its conditions: the one running, or the one that ended before.
    pub verdict: Option<String>,
}

/// One task as shown by `GET /tasks`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TaskView {
    id: u64,
    canary: String,
    command: String,
    phase: String,
    /// Seconds since 1970.
    started_at: u64,
    /// Seconds it has run.
    age: f64,
    state: String,
    /// Figures so far, or of the whole run.
    report: Option<Report>,
}

struct Running {
    key: Key,
    /// Stands for the revision that the task is about.
    checksum: String,
    view: TaskView,
    began: Instant,
    rate: Option<f64>,
    load: Option<(Arc<Control>, Arc<Plan>)>,
    cancel: CancellationToken,
}

#[derive(Default)]
struct State {
    /// Whether nothing may start any more.
    stopping: bool,
    last_id: u64,
    /// By number.
    running: BTreeMap<u64, Running>,
    ended: VecDeque<TaskView>,
    verdicts: Verdicts,
}

/// All tasks of one server.
pub(crate) struct Tasks {
    limits: Limits,
    metrics: Metrics,
    state: Mutex<State>,
}

impl Tasks {
    /// No tasks yet.
    pub(crate) fn new(limits: Limits, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the job unless the same command runs for the same canary already. A load that runs for another revision
    /// makes way.
    ///
    /// # Errors
    /// A bound is reached, or the server stops.
    pub(crate) fn submit(
        self: &Arc<Self>,
        payload: &Payload,
        job: Job,
    ) -> Result<Submitted, Rejected> {
        let key = Key::of(payload);
        let Key {
            canary, command, ..
        } = key.clone();
        let mut state = self.lock();
        if state.stopping {
            return Err(Rejected::Stopping);
        }
        let running = state.running_for(&key);
        let superseded = running.filter(|running| running.is_superseded_by(payload));
        if let (Some(running), None) = (running, superseded) {
            let command = one_line(&command);
            info!(canary, "command skipped {command} is already running");
            return Ok(Submitted {
                id: running.view.id,
                end: None,
                verdict: running.verdict_so_far(&job),
            });
        }
        let rate = self.admit(&state, &job, superseded)?;
        if let Some(running) = superseded {
            let task = running.view.id;
            info!(canary, task, "task makes way for another revision");
            running.cancel.cancel();
        }
        let verdict = state.verdicts.take(&key, &payload.checksum);
        state.last_id += 1;
        let id = state.last_id;
        let view = TaskView {
            id,
            canary: canary.clone(),
            command: command.clone(),
            phase: payload.phase.clone(),
            started_at: unix_seconds(),
            age: 0.0,
            state: "running".to_owned(),
            report: None,
        };
        let cancel = CancellationToken::new();
        let control = Arc::new(Control::default());
        let load = match &job {
            Job::Load(plan) => Some((Arc::clone(&control), Arc::clone(plan))),
            Job::Program { .. } => None,
        };
        let began = Instant::now();
        let running = Running {
            key,
            checksum: payload.checksum.clone(),
            view,
            began,
            rate,
            load,
            cancel: cancel.clone(),
        };
        state.running.insert(id, running);
        drop(state);

        self.metrics.tasks_running.inc();
        info!(canary, task = id, "task starting {}", one_line(&command));
        let tasks = Arc::clone(self);
        let log_output = payload.is_set("logCmdOutput");
        let (ended, end) = oneshot::channel();
        tokio::spawn(async move {
            let end = match job {
                Job::Load(plan) => tasks.run_load(plan, control, cancel).await,
                Job::Program { words, .. } => exec::run(&words, tasks.limits.timeout, &cancel)
                    .await
                    .into(),
            };
            if log_output {
                info!(canary, "{}", end.output);
            }
            tasks.finish(id, end.clone());
            // Only some callers wait for it.
            let _ = ended.send(end);
        });
        Ok(Submitted {
            id,
            end: Some(end),
            verdict,
        })
    }

    /// Holds the job against the bounds, without what it supersedes; its rate if it has one.
    fn admit(
        &self,
        state: &State,
        job: &Job,
        superseded: Option<&Running>,
    ) -> Result<Option<f64>, Rejected> {
        let superseded = superseded.map(|running| running.view.id);
        let stays = |running: &&Running| Some(running.view.id) != superseded;
        let others = || state.running.values().filter(stays);
        if others().count() >= self.limits.tasks {
            return Err(Rejected::Tasks(others().count()));
        }
        let Job::Load(plan) = job else {
            return Ok(None);
        };
        if plan.workers > self.limits.workers {
            return Err(Rejected::Workers(plan.workers, self.limits.workers));
        }
        let asked = plan.pacing.total_rate(plan.workers);
        if let Some(most) = self.limits.rate {
            let asked = asked.ok_or(Rejected::NoRate(most))?;
            // Of none it would be -0.
            let running = 0.0 + others().filter_map(|running| running.rate).sum::<f64>();
            if running + asked > most {
                return Err(Rejected::Rate {
                    asked,
                    running,
                    most,
                });
            }
        }
        Ok(asked)
    }

    async fn run_load(
        &self,
        plan: Arc<Plan>,
        control: Arc<Control>,
        cancel: CancellationToken,
    ) -> End {
        let threads = Arc::clone(&plan);
        let watched = Arc::clone(&control);
        let mut run = tokio::task::spawn_blocking(move || engine::run(&threads, &watched, None));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let timeout = tokio::time::sleep(self.limits.timeout);
        tokio::pin!(timeout);
        let mut stopped = None;
        let result = loop {
            tokio::select! {
                result = &mut run => break result,
                _ = looks.tick() => control.ask(),
                () = &mut timeout, if stopped.is_none() => {
                    stopped = Some("timed out");
                    control.cancel();
                }
                () = cancel.cancelled(), if stopped.is_none() => {
                    stopped = Some("cancelled");
                    control.cancel();
                }
            }
        };
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => return End::failed(error.to_string()),
            Err(_) => {
                return End::failed("the load broke off by a defect of this program".to_owned());
            }
        };
        self.metrics.count_requests(&outcome.totals);
        let report = Report::new(&outcome.totals, outcome.elapsed, &plan.thresholds);
        // Whoever ends a load early has not seen it fail.
        let verdict = match stopped {
            None => sentence(&plan.thresholds.breaches(&outcome.totals, outcome.elapsed)),
            Some(_) => None,
        };
        End {
            state: stopped.unwrap_or("finished").to_owned(),
            output: text::summary(&outcome),
            report: Some(report),
            verdict,
        }
    }

    fn finish(&self, id: u64, end: End) {
        let mut state = self.lock();
        let Some(running) = state.running.remove(&id) else {
            return;
        };
        let Key {
            canary, command, ..
        } = &running.key;
        let command = one_line(command);
        if end.is_success() {
            info!(canary, "command finished {command}");
        } else {
            warn!(canary, "command failed {command} {}", end.state);
        }
        self.metrics.tasks_running.dec();
        self.metrics.tasks.with_label_values(&[end.label()]).inc();
        let age = running.began.elapsed().as_secs_f64();
        if state.ended.len() == REMEMBERED {
            state.ended.pop_front();
        }
        state.ended.push_back(TaskView {
            age,
            state: end.state,
            report: end.report,
            ..running.view
        });
        // It may have finished just when another revision took its place.
        if let Some(sentence) = end.verdict
            && !running.cancel.is_cancelled()
        {
            let (key, checksum) = (running.key, running.checksum);
            state.verdicts.keep(key, checksum, sentence);
        }
    }

    /// All running tasks with figures so far, then those that ended lately, newest first.
    pub(crate) fn list(&self) -> Vec<TaskView> {
        let state = self.lock();
        let running = state.running.values().map(Running::view_now);
        running.chain(state.ended.iter().rev().cloned()).collect()
    }

    /// Ends a running task; false if there is none of this number.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let state = self.lock();
        let found = state.running.get(&id);
        found.inspect(|running| running.cancel.cancel()).is_some()
    }

    /// Ends all tasks and lets no other start: a webhook may still be on its way in. Tells how many it ends.
    pub(crate) fn stop(&self) -> usize {
        let mut state = self.lock();
        state.stopping = true;
        for running in state.running.values() {
            running.cancel.cancel();
        }
        state.running.len()
    }

    /// Number of running tasks.
    pub(crate) fn running(&self) -> usize {
        self.lock().running.len()
    }
}

impl State {
    /// The task that runs for this key. One that was told to end does not count, so there is at most one.
    fn running_for(&self, key: &Key) -> Option<&Running> {
        let runs = |running: &&Running| running.key == *key && !running.cancel.is_cancelled();
        self.running.values().find(runs)
    }
}

impl Running {
    /// Whether it is a load meant for another revision, which says nothing about the payload's. Programs are left to
    /// end: half of what they do may be worse than none.
    fn is_superseded_by(&self, payload: &Payload) -> bool {
        self.load.is_some() && self.checksum != payload.checksum
    }

    fn view_now(&self) -> TaskView {
        let look = self.load.as_ref().and_then(|(_, plan)| self.look(plan));
        let report =
            look.map(|(totals, elapsed, breaches)| Report::so_far(&totals, elapsed, &breaches));
        TaskView {
            age: self.began.elapsed().as_secs_f64(),
            report,
            ..self.view.clone()
        }
    }

    /// Figures of a running load, and which of the plan's conditions it already breaks.
    fn look(&self, plan: &Plan) -> Option<(Totals, Duration, Vec<Breach>)> {
        let (control, _) = self.load.as_ref()?;
        let (totals, elapsed) = control.look()?;
        let breaches = if totals.requests() < ENOUGH_REQUESTS {
            Vec::new()
        } else {
            plan.thresholds.breaches_so_far(&totals)
        };
        Some((totals, elapsed, breaches))
    }

    /// The conditions are those of the call, for the one that started the load may have had others.
    fn verdict_so_far(&self, job: &Job) -> Option<String> {
        let Job::Load(plan) = job else {
            return None;
        };
        let (_, _, breaches) = self.look(plan)?;
        sentence(&breaches)
    }
}

/// How a task ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// `finished`, `cancelled`, `timed out`, or the reason it failed.
    pub state: String,
    /// Report of a load, output of a program.
    pub output: String,
    report: Option<Report>,
    verdict: Option<String>,
}

impl From<exec::Ended> for End {
    fn from(ended: exec::Ended) -> Self {
        Self {
            state: ended.state(),
            output: ended.output,
            report: None,
            verdict: None,
        }
    }
}

impl End {
    fn failed(state: String) -> Self {
        Self {
            state,
            output: String::new(),
            report: None,
            verdict: None,
        }
    }

    /// Whether the task ran to its own end without failing.
    pub(crate) fn is_success(&self) -> bool {
        self.state == "finished"
    }

    /// One of few words, for a metric.
    fn label(&self) -> &'static str {
        match self.state.as_str() {
            "finished" => "finished",
            "cancelled" => "cancelled",
            "timed out" => "timed_out",
            _ => "failed",
        }
    }
}

fn sentence(breaches: &[Breach]) -> Option<String> {
    let sentences: Vec<_> = breaches.iter().map(ToString::to_string).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// For a log in which a line is an entry: text of the network cannot begin one.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

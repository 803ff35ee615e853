//! Runs jobs as tasks: at most one per canary and command, limited in number, rate and time, listed for inspection.

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

/// Running load tests refresh their figures this often.
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// Maximum number of ended tasks in the list.
const MOST_ENDED: usize = 50;
/// A running load test is judged only after this many requests.
const ENOUGH_REQUESTS: u64 = 100;

/// Limits of the tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Maximum number of running tasks.
    pub tasks: usize,
    /// Maximum requests per second of all tasks together. If it is set, a load test without a rate is refused.
    pub rate: Option<f64>,
    /// Maximum number of workers of one load test.
    pub workers: usize,
    /// Time limit of a task.
    pub timeout: Duration,
}

/// Reasons why a job may not start now. The response is 429, or 503 if the server is stopping.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Rejected {
    /// The server is stopping.
    #[error("this load tester is stopping and starts no more tasks: call again after the restart")]
    Stopping,
    /// Too many tasks.
    #[error("{0} tasks are running, the maximum of --max-tasks")]
    Tasks(usize),
    /// Too high a rate.
    #[error(
        "{asked}/s in addition to {running}/s of running tasks is above the {most}/s of --max-rate"
    )]
    Rate {
        /// Rate of the job.
        asked: f64,
        /// Rate of all running tasks.
        running: f64,
        /// Maximum.
        most: f64,
    },
    /// The job has no rate.
    #[error(
        "a load test without a rate has no limit, but --max-rate allows {0}/s: add -q or --rate"
    )]
    NoRate(f64),
    /// Too many workers.
    #[error("{0} workers are above the {1} of --max-workers")]
    Workers(usize, usize),
}

/// Result of submitting a job.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// Number of the task that runs it.
    pub id: u64,
    /// Receives the end of the task; `None` if the task was already running.
    pub end: Option<oneshot::Receiver<End>>,
    /// Conditions that the running load test, or the one before it, does not meet.
    pub verdict: Option<String>,
}

/// One task in the response to `GET /tasks`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TaskView {
    id: u64,
    canary: String,
    command: String,
    phase: String,
    /// Seconds since 1970.
    started_at: u64,
    /// Run time in seconds.
    age: f64,
    state: String,
    /// Figures of the run, or so far.
    report: Option<Report>,
}

struct Running {
    key: Key,
    /// Identifies the revision that the task belongs to.
    checksum: String,
    view: TaskView,
    began: Instant,
    rate: Option<f64>,
    load: Option<(Arc<Control>, Arc<Plan>)>,
    cancel: CancellationToken,
}

#[derive(Default)]
struct State {
    /// True if no more tasks may start.
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
    /// Without any task yet.
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

    /// Starts the job, unless the same command already runs for the same canary. A load test of another revision is
    /// cancelled and replaced.
    ///
    /// # Errors
    /// A limit is reached, or the server is stopping.
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
            info!(canary, task, "task cancelled for another revision");
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
            // Fails if the caller does not wait for the end.
            let _ = ended.send(end);
        });
        Ok(Submitted {
            id,
            end: Some(end),
            verdict,
        })
    }

    /// Checks the limits, without the task that the job supersedes. Returns the rate of the job.
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
            // The sum of no floats is -0.
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
        let mut refresh = tokio::time::interval(REFRESH_EVERY);
        let timeout = tokio::time::sleep(self.limits.timeout);
        tokio::pin!(timeout);
        let mut stopped = None;
        let result = loop {
            tokio::select! {
                result = &mut run => break result,
                _ = refresh.tick() => control.refresh(),
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
                return End::failed(
                    "the load stopped because of a defect in this program".to_owned(),
                );
            }
        };
        self.metrics.count_requests(&outcome.totals);
        let report = Report::new(&outcome.totals, outcome.elapsed, &plan.thresholds);
        // A load test that was stopped early has not failed.
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
        if state.ended.len() == MOST_ENDED {
            state.ended.pop_front();
        }
        state.ended.push_back(TaskView {
            age,
            state: end.state,
            report: end.report,
            ..running.view
        });
        // The load test may have finished just when another revision replaced it.
        if let Some(sentence) = end.verdict
            && !running.cancel.is_cancelled()
        {
            let (key, checksum) = (running.key, running.checksum);
            state.verdicts.keep(key, checksum, sentence);
        }
    }

    /// All running tasks with their figures so far, then recently ended tasks, newest first.
    pub(crate) fn list(&self) -> Vec<TaskView> {
        let state = self.lock();
        let running = state.running.values().map(Running::view_now);
        running.chain(state.ended.iter().rev().cloned()).collect()
    }

    /// Cancels a running task; false if no task has this number.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let state = self.lock();
        let found = state.running.get(&id);
        found.inspect(|running| running.cancel.cancel()).is_some()
    }

    /// Cancels all tasks and refuses new ones, because a webhook may still arrive. Returns the number of cancelled tasks.
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
    /// The task that runs for this key. A cancelled one does not count, so there is at most one.
    fn running_for(&self, key: &Key) -> Option<&Running> {
        let runs = |running: &&Running| running.key == *key && !running.cancel.is_cancelled();
        self.running.values().find(runs)
    }
}

impl Running {
    /// True for a load test of another revision, whose figures say nothing about the payload's. Programs are not interrupted,
    /// because half of their work may be worse than none.
    fn is_superseded_by(&self, payload: &Payload) -> bool {
        self.load.is_some() && self.checksum != payload.checksum
    }

    fn view_now(&self) -> TaskView {
        let figures = self.load.as_ref().and_then(|(_, plan)| self.figures(plan));
        let report =
            figures.map(|(totals, elapsed, breaches)| Report::so_far(&totals, elapsed, &breaches));
        TaskView {
            age: self.began.elapsed().as_secs_f64(),
            report,
            ..self.view.clone()
        }
    }

    /// Figures of a running load test, and the conditions of the plan that it already breaks.
    fn figures(&self, plan: &Plan) -> Option<(Totals, Duration, Vec<Breach>)> {
        let (control, _) = self.load.as_ref()?;
        let (totals, elapsed) = control.snapshot()?;
        let breaches = if totals.requests() < ENOUGH_REQUESTS {
            Vec::new()
        } else {
            plan.thresholds.breaches_so_far(&totals)
        };
        Some((totals, elapsed, breaches))
    }

    /// Checks the conditions of this webhook; the webhook that started the load test may have had others.
    fn verdict_so_far(&self, job: &Job) -> Option<String> {
        let Job::Load(plan) = job else {
            return None;
        };
        let (_, _, breaches) = self.figures(plan)?;
        sentence(&breaches)
    }
}

/// How a task ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// `finished`, `cancelled`, `timed out`, or the reason it failed.
    pub state: String,
    /// Report of a load test, or output of a program.
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

    /// True if the task finished by itself and did not fail.
    pub(crate) fn is_success(&self) -> bool {
        self.state == "finished"
    }

    /// The value of the metric's label.
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

/// Replaces control characters, so that text from the network cannot begin a line of the log.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

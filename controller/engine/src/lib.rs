//! The pure release logic of the canary controller.
//!
//! One tick is: observe → [`questions`] (which gates and queries to ask, in which order) → answers →
//! [`plan()`] (ordered actions, events, the new status). This crate has no Kubernetes client, no async runtime,
//! no clock and no randomness; its `Cargo.toml` proves it.
//!
//! # Time
//! An idle canary has no actions and no requeue time: it costs nothing until a watch event comes. During a run, a check
//! or step is due one interval after the last one (`Status::last_check`); the first is due as soon as the canary is
//! ready. A change that a watch reports (a new revision, readiness, drift, a deadline, suspension) takes effect at
//! once. The time of the last check is in the status, so a restarted controller neither hurries nor repeats a step.
//!
//! # Crashes
//! A plan may end after any of its actions, because the controller dies or an action fails. The status is written last.
//! Until then the cluster itself shows how far the plan got: if the live weight is that of the next step, the step has
//! been made; if the primary holds the revision of the run, it has been promoted. Everything else is idempotent. The
//! key of an event depends only on the status before the plan, so each event is published once. Alerts, counts and
//! post-rollout webhooks come before the status write and have such keys too. The shell does each of them once per
//! process, even if the plan is repeated because its status could not be written. Only if the process dies between such
//! an effect and the status write does its successor repeat it: alerts and post-rollout webhooks are delivered at least
//! once.
//!
//! After a failure the canary first loses its traffic, then the failure is written to the status, and only then are
//! webhooks called and the target scaled down. The webhook that asked for the rollback may not ask again, so
//! `Status::cleanup` records the steps that remain.
//!
//! # Differences from Flagger
//! Messages, order and fields are Flagger's. These rules are not:
//! - A revision is recorded when its run starts, not before, so none is lost while the run has to wait.
//! - The primary gets exactly the revision and configuration that were analysed. A revision that has not been analysed
//!   loses its traffic as soon as the primary can take it, also while another revision is being promoted.
//! - If the target is set back to the promoted revision during a run, the run ends as `Failed`.
//! - Traffic never goes to a primary that is stuck while the canary has available replicas. After a failed promotion
//!   the fix is analysed on the canary. If a rollback has nowhere to send the traffic, canary and traffic stay until
//!   the primary is ready.
//! - A canary without available replicas loses its traffic at once, and this counts as a failed check. A canary whose
//!   workload was deleted loses it too.
//! - The target is not scaled down while requests may still reach it, as far as the route shows.
//! - After a promotion the target is scaled down only when the primary is ready and one interval has passed.
//!   Initialization waits and never rolls back. A release without analysis also waits for the primary.
//! - A run is rolled back as soon as failed checks reach the threshold, not one interval later, and also while the
//!   primary is not completely ready.
//! - A metric that cannot be measured halts the run without counting as a failed check. All metrics are measured, and
//!   all series are judged.
//! - Repair keeps the weights. A list of steps always continues with the next higher weight, so it always ends.
//! - The status has the live weight, the failed checks of a failed run, and the reason why nothing moves.
//! - A wait or a suspension is announced once; an unready rollout only after an interval.
//! - A wait of a few seconds (pods that start, a generation that is about to be observed) appears neither in the status
//!   nor as an event.
//! - Rollback webhooks are also asked while a rollout waits for approval.
//!
//! # Layout
//! - [`canary`]: the validated specification
//! - [`observed`]: the snapshot that a tick is decided on
//! - [`status`]: the state kept between ticks
//! - [`phase`]: phases and legal transitions
//! - [`question`]: questions to ask before planning, and their answers
//! - [`action`]: the parts of a plan
//! - [`condition`]: the condition `Promoted`
//! - `plan`: the decisions, one module per stage of a release; `tick` is the plan in the making
//! - [`strategy`]: the way from the first check of a run to promotion
//! - `analysis`, `readiness`, `text`: verdicts, readiness, numbers formatted as in Go

pub mod action;
mod analysis;
pub mod canary;
pub mod condition;
pub mod observed;
pub mod phase;
mod plan;
pub mod question;
mod readiness;
pub mod status;
pub mod strategy;
mod text;
mod tick;

use action::Plan;
use canary::Canary;
use observed::Observed;
use question::{Answers, Question};
pub use readiness::Ready;
pub use status::REVISION_PREFIX;
use tick::Tick;

/// The questions to ask next before this tick can be planned, given the answers so far; empty when none is left. See
/// [`question`] for the loop.
#[must_use]
pub fn questions(canary: &Canary, observed: &Observed, answers: &Answers) -> Vec<Question> {
    plan::decide(canary, observed, answers)
        .err()
        .unwrap_or_default()
}

/// Plans this tick. While [`questions`] still has questions, the plan is empty and requeues after an interval.
#[must_use]
pub fn plan(canary: &Canary, observed: &Observed, answers: &Answers) -> Plan {
    let nothing = Plan {
        actions: Vec::new(),
        requeue: Some(canary.analysis.interval),
    };
    plan::decide(canary, observed, answers).unwrap_or(nothing)
}

/// Whether [`plan()`] takes each side as ready. The shell uses it to record since when a workload has been unready.
#[must_use]
pub fn ready(canary: &Canary, observed: &Observed) -> Ready {
    let answers = Answers::default();
    let tick = Tick::new(canary, observed, &answers);
    Ready {
        primary: tick.primary.is_ready(),
        target: tick.target.is_ready(),
    }
}

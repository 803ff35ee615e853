//! The pure release logic of the canary controller.
//!
//! One tick is: observe → [`questions`] (which gates and queries to ask, in which order) → answers →
//! [`plan()`] (ordered actions, events, the new status). This crate has no Kubernetes client, no async runtime,
//! no clock and no randomness; its `Cargo.toml` proves it.
//!
//! # Time
//! An idle canary has no actions and no next time: it costs nothing until a watch event comes. In a run, checks and
//! steps are due one interval after the last (`Status::last_check`), the first at once when the canary is ready;
//! what watches tell (a new revision, readiness, drift, a deadline, suspension) is acted on at once. Since the time
//! of the last check is in the status, a restarted controller neither hurries nor repeats a step.
//!
//! # Crashes
//! A plan may end after any of its actions, because the controller dies or an action fails. The status is written last;
//! before that, the world itself tells how far a plan got: a live weight that is the next step is a step to be
//! noted, a primary that holds the revision of the run is a promotion to be noted, and everything else is
//! idempotent. Events have keys that depend on the status before the plan only, so each is published once.
//! Alerts, counts and post-rollout webhooks come before the status is written and have such keys too: a shell does each
//! once in the life of its process, however often a plan is carried out again because its status could not be written.
//! Only a process that dies between such an effect and the status leaves it to be done again by the next one. So alerts
//! and post-rollout webhooks are delivered at least once.
//!
//! A failure takes its traffic away, is noted, and only then are webhooks told and the target scaled down: what asked for
//! the rollback may not ask again, and `Status::cleanup` tells what is left to do.
//!
//! # Where this is not Flagger
//! Messages, order and fields are Flagger's. These rules are not:
//! - A revision is noted when its run starts, not before, so none is lost while something has to be waited for.
//! - The primary is given exactly the revision and configuration that were analysed. What nobody has analysed loses
//!   its traffic as soon as the primary can take it, also while another revision is being promoted.
//! - A set-back of the target to the promoted revision during a run ends the run as `Failed`.
//! - Traffic never goes to a primary that is stuck while the canary answers: after a failed promotion the fix is
//!   analysed on the canary; a rollback that has nowhere to go leaves canary and traffic as they are until the
//!   primary is ready.
//! - A canary without any replica that answers loses its traffic at once, which counts as a failed check; one whose
//!   workload is gone loses it too.
//! - The target is not scaled down while requests may still be led there, as far as the route tells.
//! - After a promotion the target is not scaled down before the primary is ready and one interval has passed;
//!   initialization waits and never rolls back; a release without analysis waits for the primary too.
//! - The threshold of failed checks rolls back when it is reached, not one interval later, and also while the
//!   primary is not completely ready.
//! - A metric that cannot be measured halts without counting. All metrics are measured, and all series judged.
//! - Repair keeps weights. Step lists go to the next higher weight, so they always end.
//! - The status tells the live weight, the failed checks of a failed run, and why nothing moves.
//! - Waiting and suspension are announced once, a rollout that is not ready after an interval.
//! - A wait of a few seconds (pods that start, a generation that is about to be observed) is neither in the status nor
//!   an event.
//! - Rollback webhooks are also asked while a rollout waits for approval.
//!
//! # Layout
//! - [`canary`]: the validated specification
//! - [`observed`]: everything read for one tick
//! - [`status`]: what is remembered between ticks
//! - [`phase`]: phases and legal transitions
//! - [`question`]: what to ask before planning, and the answers
//! - [`action`]: what a plan consists of
//! - [`condition`]: the condition `Promoted`
//! - `plan`: the decisions, one module per stretch of a release; `tick` is the plan in the making
//! - [`strategy`]: how a run gets from its first check to promotion
//! - `analysis`, `readiness`, `text`: verdicts, readiness, numbers as Go prints them

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

/// What has to be asked next before this tick can be planned, given the answers so far; empty when nothing
/// is missing. See [`question`] for the loop.
#[must_use]
pub fn questions(canary: &Canary, observed: &Observed, answers: &Answers) -> Vec<Question> {
    plan::decide(canary, observed, answers)
        .err()
        .unwrap_or_default()
}

/// What to do now. Called before [`questions`] has run dry, it plans nothing and looks again after an interval.
#[must_use]
pub fn plan(canary: &Canary, observed: &Observed, answers: &Answers) -> Plan {
    let nothing = Plan {
        actions: Vec::new(),
        requeue: Some(canary.analysis.interval),
    };
    plan::decide(canary, observed, answers).unwrap_or(nothing)
}

/// The readiness that [`plan()`] would find. The shell notes with it since when a workload has been unready.
#[must_use]
pub fn ready(canary: &Canary, observed: &Observed) -> Ready {
    let answers = Answers::default();
    let tick = Tick::new(canary, observed, &answers);
    Ready {
        primary: tick.primary.is_ready(),
        target: tick.target.is_ready(),
    }
}

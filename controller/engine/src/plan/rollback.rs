//! The end of a release that failed.

use std::time::Duration;

use crate::{
    action::{Action, Outcome, Severity},
    canary::HookKind,
    phase::Phase,
    question::{HookAnswer, Question},
    readiness::Readiness,
    status::Cleanup,
    tick::{Tick, hooks::Ask},
};

/// The reason for a rollback.
pub(super) enum Cause {
    /// Too many failed checks.
    Threshold,
    /// A rollback webhook passed.
    Webhook,
    /// The canary did not become ready before its progress deadline; with what was missing.
    Deadline(String),
    /// The target was set back to the revision of the primary, so there is nothing to release.
    Withdrawn,
}

/// Routes all traffic to the primary and always announces the reason (Flagger does not for a deadline). If the primary
/// cannot take the traffic and the canary can, traffic and canary stay: a bad response may be better than none, and the
/// next revision may fix it. [`cleanup`](super::cleanup) does the remaining steps.
pub(super) fn roll_back(tick: &mut Tick<'_>, cause: Cause) {
    let id = tick.canary_id();
    let keeps_traffic = tick.live.canary > 0 && !tick.primary_may_take_over();
    if !keeps_traffic {
        // First, because everything else takes time.
        tick.set_canary_weight(0);
    }
    let (event, severity, alert) = match cause {
        Cause::Threshold => {
            let failed = tick.status.failed_checks;
            (
                format!("Rolling back {id} failed checks threshold reached {failed}"),
                Severity::Error,
                format!("Failed checks threshold reached {failed}"),
            )
        }
        Cause::Webhook => (
            format!("Rolling back {id} manual webhook invoked"),
            Severity::Warn,
            "Rolling back manual webhook invoked".to_owned(),
        ),
        Cause::Deadline(why) => (
            format!("Rolling back {id} progress deadline exceeded {why}"),
            Severity::Error,
            format!("Progress deadline exceeded {why}"),
        ),
        Cause::Withdrawn => (
            format!("Rolling back {id} target was set back to the promoted revision"),
            Severity::Warn,
            "Rolling back, the target was set back to the promoted revision".to_owned(),
        ),
    };
    tick.warning("Rollback", event);
    let message = if keeps_traffic {
        let why = match &tick.primary {
            Readiness::Waiting(why) | Readiness::Stuck(why) => why.as_str(),
            Readiness::Ready => "",
        };
        format!("Canary failed! Keeping {id} up, {why}")
    } else {
        format!("Canary failed! Scaling down {id}")
    };
    tick.warning("Failed", message);
    fail(tick, severity, alert);
}

/// Ends the release as failed, with alert and count. The number of failed checks stays in the status (Flagger resets
/// it).
fn fail(tick: &mut Tick<'_>, severity: Severity, alert: String) {
    tick.alert(severity, false, alert);
    tick.act(Action::Count(Outcome::Failed));
    tick.status.phase = Phase::Failed;
    tick.status.iterations = 0;
    tick.status.cleanup = Some(Cleanup::PostRollout);
    tick.moving();
    tick.wake_in(Duration::ZERO);
}

/// Ends a release whose primary does not become ready with the promoted revision. The canary, which has been analysed
/// and is ready, serves all traffic and stays up (Flagger since 1.44).
pub(super) fn fail_promotion(tick: &mut Tick<'_>, why: &str) {
    let target = tick.target_id();
    let text = format!("Promotion of {target} failed, primary not ready: {why}");
    tick.warning("PromotionFailed", text);
    if !tick.target_changed() && tick.target.is_ready() && !tick.canary_is_down() {
        tick.set_canary_weight(100);
    }
    tick.status.canary_weight = tick.live.canary;
    let alert = format!("Promotion failed, primary not ready: {why}");
    fail(tick, Severity::Error, alert);
}

/// Asks the rollback webhooks. The first that passes asks for a rollback.
pub(super) fn rollback_asked(tick: &mut Tick<'_>, phase: Phase) -> Result<bool, Ask> {
    let kind = HookKind::Rollback;
    for index in tick.hooks(kind) {
        let name = tick.hook_name(index);
        match tick.answers.hook(index) {
            None => return Err(Ask(vec![Question::Hook { index, kind, phase }])),
            Some(HookAnswer::Passed) => {
                tick.warning("RollbackWebhook", format!("Rollback check {name} passed"));
                return Ok(true);
            }
            Some(HookAnswer::Refused(_)) => {
                tick.normal(
                    "RollbackWebhook",
                    format!("Rollback hook {name} not signaling a rollback"),
                );
            }
        }
    }
    Ok(false)
}

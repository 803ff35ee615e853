//! The end of a successful release: the primary serves all traffic, and the target is scaled down.

use std::time::Duration;

use crate::{
    action::{Action, Outcome, Severity},
    phase::Phase,
    readiness::Readiness,
    status::WaitingReason,
    tick::Tick,
};

use super::{cleanup::call_post_rollout, repair::repair, rollback::fail_promotion};

/// Scales the target down one interval after it lost its traffic, so that in-flight requests are answered.
pub(super) fn finalize(tick: &mut Tick<'_>) {
    repair(tick);
    match tick.primary.clone() {
        Readiness::Waiting(why) => {
            tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
            return;
        }
        Readiness::Stuck(why) => return fail_promotion(tick, &why),
        Readiness::Ready => tick.ready(),
    }
    if tick.live.canary > 0 {
        // Someone changed the route. Requests that have just reached the target get an interval too.
        tick.set_canary_weight(0);
        tick.checked();
        tick.drain("canary");
        if tick.canary.skip_analysis {
            tick.wake_in(Duration::ZERO);
        }
        return;
    }
    if !tick.canary.skip_analysis && !tick.is_due() {
        tick.sleep_until_due();
        tick.drain("canary");
        return;
    }
    if tick.observed.route.is_none() {
        // It was deleted and has just been recreated. The next snapshot shows whether it is in force.
        tick.wake_in(Duration::ZERO);
        return;
    }
    if tick.route_is_pending() {
        // Requests may still reach the target.
        tick.wait_for_route();
        return;
    }
    tick.scale_down_target();
    tick.status.phase = Phase::Succeeded;
    tick.record_promoted();
    tick.moving();
    call_post_rollout(tick, Phase::Succeeded);
    let target = tick.target_id();
    let (event, alert, outcome) = if tick.canary.skip_analysis {
        (
            format!("Promotion completed! Canary analysis was skipped for {target}"),
            "Canary analysis was skipped, promotion finished.",
            Outcome::PromotedSkipped,
        )
    } else {
        (
            format!("Promotion completed! Scaling down {target}"),
            "Canary analysis completed successfully, promotion finished.",
            Outcome::Promoted,
        )
    };
    tick.normal("Promoted", event);
    tick.alert(Severity::Info, false, alert.to_owned());
    tick.act(Action::Count(outcome));
    if tick.target_changed() {
        // A revision deployed during the promotion starts its own run now.
        tick.wake_in(Duration::ZERO);
    }
}

//! What is left to do of a release that failed, once its failure is in the status.
//!
//! Whoever waits for the end of a release may wait long: webhooks take their time, a gateway takes up a route when it
//! can. A controller that died meanwhile with the failure not noted would scale the canary up again.

use std::time::Duration;

use crate::{
    action::Action,
    canary::HookKind,
    observed::Weights,
    phase::Phase,
    readiness::Readiness,
    status::{Cleanup, WaitingReason},
    tick::Tick,
};

/// Calls the post-rollout webhooks, if that is still to be done, after `meanwhile` has done what is not to wait for them.
pub(super) fn tell_webhooks(tick: &mut Tick<'_>, meanwhile: impl FnOnce(&mut Tick<'_>)) {
    let untold = tick.status.cleanup == Some(Cleanup::PostRollout);
    if untold {
        tick.status.cleanup = Some(Cleanup::ScaleDown);
    }
    meanwhile(tick);
    if untold {
        call_post_rollout(tick, Phase::Failed);
    }
}

/// Takes the traffic that was left to a failed canary for lack of a primary, as soon as the primary can have it. (A
/// canary that was copied to the primary has passed; it goes on serving until the next release, or until none of its
/// replicas answers.)
pub(super) fn take_back_traffic(tick: &mut Tick<'_>) {
    if tick.status.phase != Phase::Failed || tick.live.canary == 0 {
        return;
    }
    // What has been promoted is copied as well; then the primary was only away when the target was set back to it.
    let passed = tick.run_is_copied() == Some(true) && !tick.run_is_promoted();
    let dead = tick.canary_is_down() && tick.primary_answers();
    if dead || tick.primary.is_ready() && !passed {
        tick.set_canary_weight(0);
        tick.normal(
            "RouteToPrimary",
            "Routing all traffic to primary".to_owned(),
        );
        tick.status.cleanup = Some(Cleanup::ScaleDown);
    } else if passed {
        tick.status.cleanup = None;
    }
}

/// Takes the traffic that was left to a canary from a revision that nobody has analysed: it keeps it only as long as
/// the primary cannot take it. It has its replicas back when its run begins.
pub(super) fn take_traffic_from_unknown(tick: &mut Tick<'_>) {
    if tick.live.canary > 0 && tick.primary_may_take_over() {
        tick.set_canary_weight(0);
        tick.status.cleanup = Some(Cleanup::ScaleDown);
    }
}

/// Notes that the target's replicas are not needed any more: its traffic is gone, taken now or by a plan that was not
/// carried out to its end, and no release is under way that gives it back.
pub(super) fn note_lost_traffic(tick: &mut Tick<'_>) {
    let over = matches!(tick.status.phase, Phase::Waiting | Phase::Failed);
    if over && tick.observed.status.canary_weight > 0 && tick.live.canary == 0 {
        tick.status.cleanup.get_or_insert(Cleanup::ScaleDown);
    }
}

/// Scales the target down, if that is still to be done and no request can go there.
pub(super) fn retire_target(tick: &mut Tick<'_>) {
    note_lost_traffic(tick);
    if tick.status.cleanup != Some(Cleanup::ScaleDown) || tick.live.canary > 0 {
        return;
    }
    if tick.observed.route != Some(Weights::canary(0)) {
        // The traffic was taken in this very tick.
        tick.wake_in(Duration::ZERO);
    } else if tick.observed.route_pending.is_none() || tick.canary_is_down() {
        tick.scale_down_target();
        tick.status.cleanup = None;
    }
}

/// Whether the target keeps its replicas until the primary can serve, or until the route is in force.
pub(super) fn is_held_up(tick: &Tick<'_>) -> bool {
    let waits_for_primary = tick.live.canary > 0 && !tick.primary.is_ready();
    tick.status.cleanup == Some(Cleanup::ScaleDown)
        && (waits_for_primary || tick.route_is_pending())
}

/// Notes what holds up the rest.
pub(super) fn hold(tick: &mut Tick<'_>) {
    match tick.primary.clone() {
        Readiness::Waiting(why) | Readiness::Stuck(why) if tick.live.canary > 0 => {
            // The event of the failure has said so.
            tick.hold(WaitingReason::PrimaryNotReady, why);
        }
        _ => tick.wait_for_route(),
    }
}

/// Calls the post-rollout webhooks, naming how the release ended.
pub(super) fn call_post_rollout(tick: &mut Tick<'_>, phase: Phase) {
    let kind = HookKind::PostRollout;
    for index in tick.hooks(kind) {
        tick.act(Action::CallHook { index, kind, phase });
    }
}

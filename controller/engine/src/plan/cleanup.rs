//! The steps that remain after a failed release, once the failure is in the status.
//!
//! They may take long: webhooks are slow, and a gateway accepts a route when it can. A controller that died during that
//! time would scale the canary up again if the failure were not in the status.

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

/// Runs `first`, and then calls the post-rollout webhooks if that remains to be done.
pub(super) fn call_webhooks(tick: &mut Tick<'_>, first: impl FnOnce(&mut Tick<'_>)) {
    let is_due = tick.status.cleanup == Some(Cleanup::PostRollout);
    if is_due {
        tick.status.cleanup = Some(Cleanup::ScaleDown);
    }
    first(tick);
    if is_due {
        call_post_rollout(tick, Phase::Failed);
    }
}

/// Takes the traffic that a failed canary kept for lack of a primary, as soon as the primary can serve it. (A canary
/// that was copied to the primary has passed. It keeps serving until the next release, or until it has no available
/// replica.)
pub(super) fn take_back_traffic(tick: &mut Tick<'_>) {
    if tick.status.phase != Phase::Failed || tick.live.canary == 0 {
        return;
    }
    // The promoted revision is also copied: then the target was set back to it while the primary was unavailable.
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

/// Takes the traffic that a failed canary kept from a new revision that has not been analysed, as soon as the primary
/// can serve it. The new revision gets its replicas back when its run begins.
pub(super) fn take_unanalysed_traffic(tick: &mut Tick<'_>) {
    if tick.live.canary > 0 && tick.primary_may_take_over() {
        tick.set_canary_weight(0);
        tick.status.cleanup = Some(Cleanup::ScaleDown);
    }
}

/// Records that the target's replicas are not needed any more: it has lost its traffic, in this tick or in a plan that
/// did not complete, and no release is in progress that gives it back.
pub(super) fn record_lost_traffic(tick: &mut Tick<'_>) {
    let over = matches!(tick.status.phase, Phase::Waiting | Phase::Failed);
    if over && tick.observed.status.canary_weight > 0 && tick.live.canary == 0 {
        tick.status.cleanup.get_or_insert(Cleanup::ScaleDown);
    }
}

/// Scales the target down if that remains to be done and no request can reach it.
pub(super) fn retire_target(tick: &mut Tick<'_>) {
    record_lost_traffic(tick);
    if tick.status.cleanup != Some(Cleanup::ScaleDown) || tick.live.canary > 0 {
        return;
    }
    if tick.observed.route != Some(Weights::canary(0)) {
        // The traffic was taken in this tick.
        tick.wake_in(Duration::ZERO);
    } else if tick.observed.route_pending.is_none() || tick.canary_is_down() {
        tick.scale_down_target();
        tick.status.cleanup = None;
    }
}

/// Returns whether the cleanup waits for the primary or for the route.
pub(super) fn is_held_up(tick: &Tick<'_>) -> bool {
    let waits_for_primary = tick.live.canary > 0 && !tick.primary.is_ready();
    tick.status.cleanup == Some(Cleanup::ScaleDown)
        && (waits_for_primary || tick.route_is_pending())
}

/// Records why the cleanup waits.
pub(super) fn hold(tick: &mut Tick<'_>) {
    match tick.primary.clone() {
        Readiness::Waiting(why) | Readiness::Stuck(why) if tick.live.canary > 0 => {
            // The event of the failure has announced it.
            tick.hold(WaitingReason::PrimaryNotReady, why);
        }
        _ => tick.wait_for_route(),
    }
}

/// Calls the post-rollout webhooks with the final phase of the release.
pub(super) fn call_post_rollout(tick: &mut Tick<'_>, phase: Phase) {
    let kind = HookKind::PostRollout;
    for index in tick.hooks(kind) {
        tick.act(Action::CallHook { index, kind, phase });
    }
}

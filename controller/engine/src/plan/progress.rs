//! A run: a new revision starts, or has started, and gets traffic step by step.

use std::time::Duration;

use crate::{
    readiness::Readiness,
    status::WaitingReason,
    tick::{Tick, hooks::Planned},
};

use super::{
    analyse::analyse,
    promote,
    repair::repair,
    rollback::{Cause, roll_back},
    run,
};

/// Reacts to changes at once, and makes checks and steps when they are due.
pub(super) fn progress(tick: &mut Tick<'_>) -> Planned {
    repair(tick);
    if tick.run_is_copied() == Some(true) {
        // It was copied to the primary, but the controller died before it could record that.
        promote::record_copy(tick);
        return Ok(());
    }
    if tick.target_changed() {
        if tick.target_is_promoted() {
            tick.take_up_target();
            roll_back(tick, Cause::Withdrawn);
        } else {
            run::restart(tick);
        }
        return Ok(());
    }
    record_live_weight(tick);
    if tick.observed.route.is_none() {
        // Without a route the canary had no traffic, so there is nothing to check yet.
        tick.checked();
    }
    if !tick.status.pre_rollout_done && tick.primary_may_take_over() {
        // The run began with traffic because the primary could not take it, or someone changed the route.
        tick.set_canary_weight(0);
    }
    if let Readiness::Stuck(why) = tick.target.clone() {
        roll_back(tick, Cause::Deadline(why));
        return Ok(());
    }
    // Flagger waits for one more interval after the last failure. A release that is known to be bad loses its traffic
    // at once.
    let failed = tick.status.failed_checks >= tick.canary.analysis.threshold.max(1);
    if failed && !tick.canary.skip_analysis {
        roll_back(tick, Cause::Threshold);
        return Ok(());
    }
    if let Readiness::Waiting(why) = tick.target.clone() {
        tick.scale_up_target();
        canary_not_ready(tick, why);
        return Ok(());
    }
    if let (Readiness::Waiting(why), false) = (tick.primary.clone(), tick.canary.skip_analysis) {
        tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
        return Ok(());
    }
    tick.ready();
    if tick.canary.skip_analysis {
        promote::copy(tick);
        return Ok(());
    }
    if tick.is_due() {
        analyse(tick)
    } else {
        tick.sleep_until_due();
        Ok(())
    }
}

/// Takes the weight from the route. A step that was made but not recorded, because the controller died in between, is
/// recorded now, with its event, and the next step is due an interval later. If someone else set the weight, the run
/// continues from that weight.
fn record_live_weight(tick: &mut Tick<'_>) {
    let (live, noted) = (tick.live.canary, tick.status.canary_weight);
    if live == noted {
        return;
    }
    let next = tick.canary.analysis.strategy.next(tick.recorded_position());
    if let Some(next) = next.filter(|next| next.traffic == tick.live) {
        tick.announce_advance(next);
        tick.status.iterations = next.iterations;
        // The engine makes the first step only after the pre-rollout webhooks have passed.
        tick.status.pre_rollout_done = true;
    }
    tick.status.canary_weight = live;
    tick.moving();
    tick.checked();
}

/// Waits for the canary. If it has no available replica, its traffic goes to the primary at once. Since it failed under
/// traffic, this counts as a failed check. (Flagger leaves the traffic where nobody answers.)
fn canary_not_ready(tick: &mut Tick<'_>, why: String) {
    if tick.live.canary == 0 || !tick.canary_is_down() || !tick.primary_answers() {
        tick.wait_for_readiness(WaitingReason::CanaryNotReady, why);
        return;
    }
    tick.warning("NotReady", why.clone());
    tick.normal(
        "RouteToPrimary",
        "Routing all traffic to primary".to_owned(),
    );
    tick.set_canary_weight(0);
    tick.status.failed_checks = tick.status.failed_checks.saturating_add(1);
    tick.checked();
    tick.hold(WaitingReason::CanaryNotReady, why);
    if tick.status.failed_checks >= tick.canary.analysis.threshold {
        tick.wake_in(Duration::ZERO);
    }
}

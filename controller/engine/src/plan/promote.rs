//! Promotion: the analysed revision is copied to the primary, which gets the traffic once it is ready.

use std::time::Duration;

use crate::{
    action::Action, phase::Phase, readiness::Readiness, status::WaitingReason, tick::Tick,
};

use super::{repair::repair, rollback::fail_promotion, run};

/// Copies exactly the revision of this run to the primary. The action fails if the target has changed (Flagger copies
/// whatever the target has).
pub(super) fn copy(tick: &mut Tick<'_>) {
    announce_copy(tick);
    let (revision, configs) = tick.run();
    if tick.observed.primary.is_some() {
        tick.act(Action::Promote { revision, configs });
    } else {
        tick.create_primary(revision, configs);
    }
    enter_promoting(tick);
}

/// Records a copy that was made but not recorded.
pub(super) fn record_copy(tick: &mut Tick<'_>) {
    announce_copy(tick);
    tick.status.canary_weight = tick.live.canary;
    enter_promoting(tick);
}

fn announce_copy(tick: &mut Tick<'_>) {
    let (name, namespace) = (&tick.canary.target.name, &tick.canary.namespace);
    let message = format!("Copying {name}.{namespace} template spec to {name}-primary.{namespace}");
    tick.normal("Promote", message);
}

fn enter_promoting(tick: &mut Tick<'_>) {
    tick.status.phase = Phase::Promoting;
    tick.moving();
    tick.checked();
}

/// Waits until the primary runs the promoted revision, then routes the traffic to it: at once, or by
/// `stepWeightPromotion` per interval. Until then the canary may be the only healthy workload.
pub(super) fn roll_out(tick: &mut Tick<'_>) {
    repair(tick);
    if tick.run_is_copied() == Some(false) {
        // Someone changed the primary. The analysed revision is copied again if the target still has it.
        if tick.target_changed() {
            run::restart(tick);
        } else {
            copy(tick);
        }
        return;
    }
    record_live_weight(tick);
    // A target that has not been analysed, or has no available replica, keeps no traffic that the primary can serve,
    // even in the middle of the primary's rollout.
    let unfit = tick.target_changed() || tick.canary_is_down();
    if unfit && tick.live.canary > 0 && tick.primary_may_take_over() {
        route_to_primary(tick);
    }
    match tick.primary.clone() {
        Readiness::Waiting(why) => {
            tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
            return;
        }
        Readiness::Stuck(why) => return fail_promotion(tick, &why),
        Readiness::Ready => tick.ready(),
    }
    if !tick.canary.skip_analysis && !tick.is_due() {
        tick.sleep_until_due();
        return;
    }
    tick.moving();
    tick.checked();
    if tick.canary.analysis.promotion_step == 0 && tick.live.canary > 0 {
        route_to_primary(tick);
    } else if tick.live.canary > 0 {
        let weight = tick
            .live
            .canary
            .saturating_sub(tick.canary.analysis.promotion_step);
        tick.set_canary_weight(weight);
        announce_primary_weight(tick);
    }
    if tick.live.canary == 0 {
        tick.status.phase = Phase::Finalising;
        if tick.canary.skip_analysis {
            tick.wake_in(Duration::ZERO);
        } else {
            tick.drain("canary");
        }
    }
}

fn route_to_primary(tick: &mut Tick<'_>) {
    tick.normal(
        "RouteToPrimary",
        "Routing all traffic to primary".to_owned(),
    );
    tick.set_canary_weight(0);
}

fn announce_primary_weight(tick: &mut Tick<'_>) {
    let (id, weight) = (tick.canary_id(), tick.live.primary);
    tick.normal("Advance", format!("Advance {id} primary weight {weight}"));
}

/// Records a step back to the primary that was made but not recorded. The next step is due an interval later.
fn record_live_weight(tick: &mut Tick<'_>) {
    let (live, noted) = (tick.live.canary, tick.status.canary_weight);
    if live == noted {
        return;
    }
    if live < noted && tick.canary.analysis.promotion_step > 0 {
        announce_primary_weight(tick);
    }
    tick.status.canary_weight = live;
    tick.checked();
}

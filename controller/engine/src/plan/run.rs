//! The start of a run, which is the analysis of one revision from its first check to promotion or rollback.

use crate::{phase::Phase, tick::Tick};

/// Resets the status for a new run. The weight stays the live one: 0, unless the primary could not take the traffic.
pub(super) fn begin(tick: &mut Tick<'_>) {
    tick.take_up_target();
    let now = tick.now();
    let live = tick.live.canary;
    let status = &mut tick.status;
    status.failed_checks = 0;
    status.iterations = 0;
    status.canary_weight = live;
    status.last_check = None;
    status.run_started = Some(now);
    status.phase_since = Some(now);
    status.pre_rollout_done = false;
    status.checks.clear();
    status.cleanup = None;
    tick.moving();
}

/// Starts the run again after a new revision: the traffic goes back to the primary.
pub(super) fn restart(tick: &mut Tick<'_>) {
    let target = tick.target_id();
    tick.normal(
        "NewRevision",
        format!("New revision detected! Restarting analysis for {target}"),
    );
    if tick.primary_may_take_over() {
        tick.set_canary_weight(0);
    }
    tick.scale_up_target();
    tick.status.phase = Phase::Progressing;
    begin(tick);
}

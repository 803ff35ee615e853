//! A target that was deleted: nothing can be released until it exists again.

use crate::{status::WaitingReason, tick::Tick};

use super::cleanup;

/// Routes the target's traffic to the primary and waits. (Flagger leaves the traffic where nobody answers.) The release
/// is not over: once the target is back, it continues, or starts again with the revision that the target then has.
pub(super) fn wait_for_target(tick: &mut Tick<'_>) {
    let (target, canary) = (tick.target_id(), tick.canary_id());
    let why = format!(
        "canary deployment {target} not ready: it was deleted; recreate it, or delete Canary {canary}"
    );
    let moves = tick.live.canary > 0 && tick.primary_answers();
    if moves {
        // First, because everything else takes time.
        tick.set_canary_weight(0);
    }
    cleanup::record_lost_traffic(tick);
    let waiting = tick.status.waiting.as_ref();
    if waiting.is_none_or(|waiting| waiting.message != why) {
        tick.warning("NotReady", why.clone());
    }
    if moves {
        tick.normal(
            "RouteToPrimary",
            "Routing all traffic to primary".to_owned(),
        );
    }
    tick.hold(WaitingReason::CanaryNotReady, why);
    // The target may never come back.
    cleanup::call_webhooks(tick, |_| ());
}

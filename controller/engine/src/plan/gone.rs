//! The target does not exist any more: nothing can be released until it does.

use crate::{status::WaitingReason, tick::Tick};

use super::cleanup;

/// Gives the target's traffic to the primary and waits. (Flagger leaves the traffic where nobody answers.) The release is
/// not over: when the target is back it goes on, or begins anew with what the target then holds.
pub(super) fn wait_for_target(tick: &mut Tick<'_>) {
    let (target, canary) = (tick.target_id(), tick.canary_id());
    let why = format!(
        "canary deployment {target} not ready: it is gone; create it again, or delete Canary {canary}"
    );
    let moves = tick.live.canary > 0 && tick.primary_answers();
    if moves {
        // Before anything that takes time.
        tick.set_canary_weight(0);
    }
    cleanup::note_lost_traffic(tick);
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
    // The target may be away for ever.
    cleanup::tell_webhooks(tick, |_| ());
}

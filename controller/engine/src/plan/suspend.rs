//! `spec.suspend`: nothing changes, weights included.

use crate::{status::WaitingReason, tick::Tick};

const MESSAGE: &str = "skipping canary run as object is suspended";

/// Announces once that the canary is suspended. (Flagger repeats the event every interval.)
pub(super) fn suspend(tick: &mut Tick<'_>) {
    let waiting = tick.status.waiting.as_ref();
    if waiting.is_none_or(|waiting| waiting.reason != WaitingReason::Suspended) {
        tick.normal("Suspended", MESSAGE.to_owned());
        tick.hold(WaitingReason::Suspended, MESSAGE.to_owned());
    }
}

/// Clears the suspension from the status.
pub(super) fn resume(tick: &mut Tick<'_>) {
    let waiting = tick.status.waiting.as_ref();
    if waiting.is_some_and(|waiting| waiting.reason == WaitingReason::Suspended) {
        tick.moving();
    }
}

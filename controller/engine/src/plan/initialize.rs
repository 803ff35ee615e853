//! From a Deployment nobody looked after to a primary that serves all traffic.

use crate::{
    action::{Action, Severity},
    observed::{Presence, Weights},
    phase::Phase,
    readiness::Readiness,
    status::WaitingReason,
    tick::Tick,
};

/// Makes the primary and what belongs to it. The first revision is not analysed (Flagger).
///
/// The target keeps serving until the primary is ready and traffic goes there; a primary that does not become
/// ready is waited for, never answered by scaling down what may be the only thing that serves. (Flagger rolls
/// back to a primary that never was ready, and with `skipAnalysis` does not wait for it at all.)
pub(super) fn initialize(tick: &mut Tick<'_>) {
    tick.status.phase = Phase::Initializing;
    let objects = &tick.observed.objects;
    if objects.canary_service != Presence::Current {
        tick.act(Action::EnsureCanaryService);
    }
    if objects.primary_service != Presence::Current {
        tick.act(Action::EnsurePrimaryService);
    }
    let target = &tick.observed.target;
    let (revision, configs) = (target.revision.clone(), target.configs.clone());
    match &tick.observed.primary {
        None => tick.create_primary(revision, configs),
        Some(primary) if !tick.primary.is_ready() => {
            // Perhaps the target was changed to fix what keeps the primary from starting. The primary serves no requests
            // yet, so it follows the target.
            let outdated = primary
                .copied_revision
                .as_ref()
                .is_some_and(|copied| *copied != revision || primary.copied_configs != configs);
            if outdated {
                tick.act(Action::Promote { revision, configs });
            }
        }
        Some(_) => {}
    }
    match tick.primary.clone() {
        Readiness::Ready => take_over(tick),
        Readiness::Waiting(why) | Readiness::Stuck(why) => {
            tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
        }
    }
}

/// The primary is ready: traffic goes there, then the target is scaled down.
fn take_over(tick: &mut Tick<'_>) {
    let objects = &tick.observed.objects;
    let route = tick
        .observed
        .route
        .map_or(Presence::Missing, |_| objects.route);
    // Requests may be under way to the pods of the target if a Service or route existed before.
    let adopted = [objects.apex_service, route].contains(&Presence::Drifted)
        && tick.observed.target.workload.replicas_wanted > 0;
    if objects.apex_service != Presence::Current {
        tick.act(Action::EnsureApexService);
    }
    if route != Presence::Current {
        tick.act(Action::EnsureRoute(Weights::canary(0)));
        tick.live = Weights::canary(0);
    }
    tick.set_canary_weight(0);
    // Only once: another controller that keeps changing them does not keep the canary from being initialized.
    if adopted && tick.status.last_check.is_none() {
        tick.checked();
    }
    if !tick.is_due() {
        tick.sleep_until_due();
        let message = "requests under way to the target are given one interval".to_owned();
        tick.hold(WaitingReason::Draining, message);
        return;
    }
    if tick.route_is_pending() {
        tick.wait_for_route();
        return;
    }
    tick.scale_down_target();

    // What was promoted is what the primary was made from, which need not be what the target holds by now;
    // the difference is then found as a new revision.
    tick.take_up_target();
    tick.note_promoted();
    let status = &mut tick.status;
    status.last_applied.clone_from(&status.last_promoted);
    status.tracked_configs = status.promoted_configs.clone().unwrap_or_default();
    tick.status.last_check = None;
    tick.status.phase = Phase::Initialized;
    tick.moving();
    tick.normal(
        "Initialized",
        format!("Initialization done! {}", tick.canary_id()),
    );
    let kind = tick.canary.target.kind.as_str();
    tick.alert(
        Severity::Info,
        true,
        format!("New {kind} detected, initialization completed."),
    );
    if tick.target_changed() {
        tick.wake_in(std::time::Duration::ZERO);
    }
}

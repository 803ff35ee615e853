//! Initialization: from a plain Deployment to a primary that serves all traffic.

use crate::{
    action::{Action, Severity},
    observed::{Presence, Weights},
    phase::Phase,
    readiness::Readiness,
    status::WaitingReason,
    tick::Tick,
};

/// Creates the primary and the other generated objects. The first revision is not analysed (Flagger).
///
/// The target keeps serving until the primary is ready and has the traffic. If the primary does not become ready,
/// initialization waits and never scales the target down, which may be the only workload that serves. (Flagger rolls
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
            // The target may have been changed to fix the reason why the primary does not start. The primary serves no
            // requests yet, so it follows the target.
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

/// Routes the traffic to the ready primary, then scales the target down.
fn take_over(tick: &mut Tick<'_>) {
    let objects = &tick.observed.objects;
    let route = tick
        .observed
        .route
        .map_or(Presence::Missing, |_| objects.route);
    // There may be in-flight requests to the target if a Service or route existed before.
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
    // Only once: another controller that keeps changing them must not block the initialization.
    if adopted && tick.status.last_check.is_none() {
        tick.checked();
    }
    if !tick.is_due() {
        tick.sleep_until_due();
        tick.drain("target");
        return;
    }
    if tick.route_is_pending() {
        tick.wait_for_route();
        return;
    }
    tick.scale_down_target();

    // The promoted revision is the one that the primary was created from. If the target has changed since then, the
    // change is detected as a new revision.
    tick.take_up_target();
    tick.record_promoted();
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

//! Repair of generated objects that are missing or were changed by someone else.

use crate::{
    action::Action,
    observed::{Presence, Weights},
    phase::Phase,
    tick::Tick,
};

/// Repairs the objects of an initialized canary and keeps the weights: a route that drifted keeps its live weights, and
/// one that was deleted during a run is recreated with the weight of the status (Flagger restarts at 100/0).
pub(super) fn repair(tick: &mut Tick<'_>) {
    let objects = &tick.observed.objects;
    let services = [
        (objects.canary_service, Action::EnsureCanaryService),
        (objects.primary_service, Action::EnsurePrimaryService),
    ];
    for (presence, action) in services {
        if presence != Presence::Current {
            tick.act(action);
        }
    }
    recreate_primary(tick);
    if objects.apex_service != Presence::Current {
        tick.act(Action::EnsureApexService);
    }
    if tick.observed.route.is_none() {
        // Without a route the primary serves all traffic. The canary gets its share back only if it is ready, or if the
        // primary cannot serve.
        let keep = tick.target.is_ready() || !tick.primary_may_take_over();
        let weights = Weights::canary(if keep { tick.status.canary_weight } else { 0 });
        tick.act(Action::EnsureRoute(weights));
        tick.live = weights;
    } else if objects.route != Presence::Current {
        tick.act(Action::EnsureRoute(tick.live));
    }
}

/// Recreates a deleted primary, but only from a revision and configuration that are promoted or being promoted: the
/// target may hold a revision that has not been analysed. Otherwise there is no primary until the target has the
/// promoted revision again, or a release creates a new primary.
fn recreate_primary(tick: &mut Tick<'_>) {
    if tick.observed.primary.is_some() {
        return;
    }
    let target = &tick.observed.target;
    let configs = &tick.status.promoted_configs;
    let promoted = tick.status.last_promoted.as_ref() == Some(&target.revision)
        && configs
            .as_ref()
            .is_none_or(|configs| *configs == target.configs);
    let promoting =
        matches!(tick.status.phase, Phase::Promoting | Phase::Finalising) && !tick.target_changed();
    if promoted || promoting {
        tick.create_primary(target.revision.clone(), target.configs.clone());
    }
}

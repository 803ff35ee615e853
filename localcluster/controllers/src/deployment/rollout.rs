//! Rollout strategies: RollingUpdate and Recreate.

use super::{
    fields::{bounds, lasting, replicas},
    history,
    round::Round,
    scale::{self, Which},
};

/// Strategy RollingUpdate. Keeps at least `desired - maxUnavailable` available pods and at most
/// `desired + maxSurge` pods in total. Scales the new set up first, then the old sets down.
pub(super) fn roll(round: &mut Round<'_>) {
    history::ensure_new(round);
    if round.new.is_none()
        || history::was_just_made(round)
        || scale_new(round)
        || scale_old_down(round)
    {
        return;
    }
    if is_complete(round) {
        history::clean_up(round);
    }
}

/// Strategy Recreate. Removes all old pods before the first new one starts.
pub(super) fn recreate(round: &mut Round<'_>) {
    history::adopt_revision(round);
    let mut scaled = false;
    for index in 0..round.old.len() {
        scaled |= replicas(&round.old[index]) > 0 && round.scale(Which::Old(index), 0);
    }
    if scaled || round.view.old_pods_running {
        return;
    }
    history::ensure_new(round);
    if !history::was_just_made(round) {
        let desired = bounds(round.deployment).desired;
        round.scale(Which::New, desired);
    }
    if is_complete(round) {
        history::clean_up(round);
    }
}

fn scale_new(round: &mut Round<'_>) -> bool {
    let Some(new) = &round.new else { return false };
    let (present, desired) = (replicas(new), bounds(round.deployment).desired);
    let size = match present.cmp(&desired) {
        std::cmp::Ordering::Equal => return false,
        std::cmp::Ordering::Greater => desired,
        std::cmp::Ordering::Less => scale::new_size(round, present),
    };
    round.scale(Which::New, size)
}

fn scale_old_down(round: &mut Round<'_>) -> bool {
    let bounds = bounds(round.deployment);
    let old: i32 = round.old.iter().map(replicas).sum();
    if old == 0 {
        return false;
    }
    let (new_size, new_available) = round
        .new
        .as_ref()
        .map_or((0, 0), |set| (replicas(set), lasting(set)));
    // New pods that are not available yet do not replace old ones.
    let spare = old + new_size - bounds.least_available() - (new_size - new_available);
    if spare <= 0 {
        return false;
    }
    // Remove unhealthy old pods first, as they serve no requests.
    let mut unhealthy = 0;
    for index in 0..round.old.len() {
        let (size, working) = (replicas(&round.old[index]), lasting(&round.old[index]));
        let cut = (size - working).max(0).min(spare - unhealthy);
        if cut > 0 {
            round.scale(Which::Old(index), size - cut);
            unhealthy += cut;
        }
    }
    // Then remove healthy ones, as long as enough pods stay available.
    let all_available: i32 = round.all().map(lasting).sum();
    let mut left = (all_available - bounds.least_available()).max(0);
    let mut healthy = 0;
    for index in 0..round.old.len() {
        let size = replicas(&round.old[index]);
        let cut = size.min(left);
        if cut > 0 {
            round.scale(Which::Old(index), size - cut);
            left -= cut;
            healthy += cut;
        }
    }
    unhealthy + healthy > 0
}

/// Returns whether the rollout is complete according to the stored status.
fn is_complete(round: &Round<'_>) -> bool {
    let desired = bounds(round.deployment).desired;
    let status = round.deployment.status.clone().unwrap_or_default();
    super::conditions::is_complete(&status, desired, round.deployment.metadata.generation)
}

//! Scaling of ReplicaSets.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use localcluster_shared::events::Occurrence;

use super::{
    fields::{Bounds, DESIRED, MAX, available, bounds, is_rolling, number, replicas, set_replicas},
    round::Round,
};

/// Identifies a ReplicaSet in a [`Round`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    New,
    Old(usize),
}

impl Round<'_> {
    pub(super) fn set(&self, which: Which) -> Option<&ReplicaSet> {
        match which {
            Which::New => self.new.as_ref(),
            Which::Old(index) => self.old.get(index),
        }
    }

    /// Scales a set and records the size of the Deployment. Returns whether the number of replicas
    /// changed.
    pub(super) fn scale(&mut self, which: Which, size: i32) -> bool {
        let bounds = bounds(self.deployment);
        let Some(mut set) = self.set(which).cloned() else {
            return false;
        };
        let before = replicas(&set);
        let noted = note_size(&mut set, bounds);
        if before == size && !noted {
            return false;
        }
        set_replicas(&mut set, size);
        if before != size {
            let direction = if size > before { "up" } else { "down" };
            let message = format!(
                "Scaled {direction} replica set {} from {before} to {size}",
                set.name_any()
            );
            self.plan
                .events
                .push(Occurrence::normal("ScalingReplicaSet", message));
        }
        self.update(&set);
        match which {
            Which::New => self.new = Some(set),
            Which::Old(index) => self.old[index] = set,
        }
        before != size
    }
}

/// Records the size of the Deployment in the set's annotations. Returns whether they changed.
pub(super) fn note_size(set: &mut ReplicaSet, bounds: Bounds) -> bool {
    let noted =
        number(set, DESIRED) == Some(bounds.desired) && number(set, MAX) == Some(bounds.most());
    set.annotations_mut()
        .insert(DESIRED.into(), bounds.desired.to_string());
    set.annotations_mut()
        .insert(MAX.into(), bounds.most().to_string());
    !noted
}

/// Scales without a rollout. A single active set takes the whole change; several active sets, as in
/// an incomplete rollout, share it in proportion to their sizes.
pub(super) fn proportionally(round: &mut Round<'_>) {
    let bounds = bounds(round.deployment);
    if let Some(only) = active_or_latest(round) {
        if round
            .set(only)
            .is_some_and(|set| replicas(set) != bounds.desired)
        {
            round.scale(only, bounds.desired);
        }
        return;
    }
    if is_saturated(round, bounds) {
        for index in 0..round.old.len() {
            if replicas(&round.old[index]) > 0 {
                round.scale(Which::Old(index), 0);
            }
        }
        return;
    }
    if !is_rolling(round.deployment) {
        return;
    }
    let mut active: Vec<Which> = (0..round.old.len())
        .map(Which::Old)
        .chain([Which::New])
        .collect();
    active.retain(|which| round.set(*which).is_some_and(|set| replicas(set) > 0));
    let size = |which: &Which| round.set(*which).map_or(0, replicas);
    let total: i32 = active.iter().map(size).sum();
    let allowed = if bounds.desired > 0 { bounds.most() } else { 0 };
    let to_add = allowed - total;
    // `active` is sorted oldest first. Among equals, the newest is scaled up first and the oldest down
    // first.
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|which| std::cmp::Reverse(size(which)));
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::new();
    for which in &active {
        let share = round
            .set(*which)
            .map_or(0, |set| proportion(round, set, bounds, to_add, added));
        added += share;
        sizes.push(size(which) + share);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (which, size) in active.into_iter().zip(sizes) {
        round.scale(which, size);
    }
}

/// Returns the only set with replicas, or the newest if none has any.
fn active_or_latest(round: &Round<'_>) -> Option<Which> {
    let all: Vec<Which> = (0..round.old.len())
        .map(Which::Old)
        .chain(round.new.iter().map(|_| Which::New))
        .collect();
    let active: Vec<Which> = all
        .iter()
        .copied()
        .filter(|which| round.set(*which).is_some_and(|set| replicas(set) > 0))
        .collect();
    match active.as_slice() {
        [] => all.last().copied(),
        [only] => Some(*only),
        _ => None,
    }
}

/// Returns whether the new set alone provides all desired replicas.
fn is_saturated(round: &Round<'_>, bounds: Bounds) -> bool {
    round.new.as_ref().is_some_and(|set| {
        number(set, DESIRED) == Some(bounds.desired)
            && replicas(set) == bounds.desired
            && available(set) == bounds.desired
    })
}

/// Returns the share of `set` in `to_add`, which may be negative. `added` is already distributed.
fn proportion(round: &Round<'_>, set: &ReplicaSet, bounds: Bounds, to_add: i32, added: i32) -> i32 {
    let size = replicas(set);
    if size == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let status = round
        .deployment
        .status
        .as_ref()
        .and_then(|status| status.replicas);
    let fraction = match number(set, MAX)
        .filter(|max| *max > 0)
        .or(status.filter(|count| *count > 0))
    {
        _ if bounds.desired == 0 => -size,
        None => 0,
        Some(max) => {
            let scaled = f64::from(size) * f64::from(bounds.most()) / f64::from(max);
            // The value is between 0 and the sum of two i32, so the cast is exact.
            scaled.round() as i32 - size
        }
    };
    let allowed = to_add - added;
    if to_add > 0 {
        fraction.min(allowed)
    } else {
        fraction.max(allowed)
    }
}

/// Returns the size to which the new set may be scaled now.
pub(super) fn new_size(round: &Round<'_>, present: i32) -> i32 {
    let bounds = bounds(round.deployment);
    let total: i32 = round.old.iter().map(replicas).sum::<i32>() + present;
    if total >= bounds.most() {
        return present;
    }
    present + (bounds.most() - total).min(bounds.desired - present)
}

//! The snapshot that a tick is decided on. The engine knows nothing else, not even the time of day.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use crate::status::Status;

/// A snapshot of everything that belongs to one canary.
///
/// It must be at least as new as everything that the last plan wrote. Otherwise a write of the controller that is not
/// visible yet would look like a change by someone else (a lowered weight, a reverted copy). If a read fails, there is
/// no snapshot and no tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of this tick.
    pub now: Timestamp,
    /// The status as last written to the Canary object.
    pub status: Status,
    /// The target workload and its revision.
    pub target: TargetState,
    /// The primary workload, if it exists.
    pub primary: Option<PrimaryState>,
    /// State of the generated objects other than the primary.
    pub objects: Objects,
    /// Live weights, read from the route object and not from the status; `None` if there is no route object.
    pub route: Option<Weights>,
    /// The reason why requests may not follow the current route object: a gateway has not accepted it yet, or refuses
    /// it. `None` if the route is in force, or if the router does not report it.
    pub route_pending: Option<String>,
    /// Since when the route has been pending, as far as this process has seen; `None` if it is not pending or this is
    /// unknown.
    pub route_pending_since: Option<Timestamp>,
}

/// The target workload.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// It was deleted. Then it has no replicas, and its revision and configuration mean nothing.
    pub gone: bool,
    /// Replica counts and conditions.
    pub workload: Workload,
    /// Digest of the canonical JSON of its pod template.
    pub revision: String,
    /// Tracked ConfigMaps and Secrets: `configmap/NAME` or `secret/NAME` to checksum.
    pub configs: BTreeMap<String, String>,
}

/// The primary workload.
#[derive(Debug, Clone, PartialEq)]
pub struct PrimaryState {
    /// Replica counts and conditions.
    pub workload: Workload,
    /// The target revision that its template was copied from, kept as an annotation; `None` if unknown (created by
    /// another controller).
    pub copied_revision: Option<String>,
    /// The tracked configuration that was copied with it (in the form of `TargetState::configs`), also kept as an
    /// annotation; empty if unknown. Template and configuration together identify a promoted release: a release may
    /// change only a ConfigMap.
    pub copied_configs: BTreeMap<String, String>,
}

/// Replica counts and conditions of a workload. The default is one without replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// `spec.replicas`.
    pub replicas_wanted: u32,
    /// `status.replicas`.
    pub replicas: u32,
    /// `status.updatedReplicas`.
    pub updated: u32,
    /// `status.availableReplicas`.
    pub available: u32,
    /// `status.observedGeneration` has reached `metadata.generation`.
    pub generation_observed: bool,
    /// Since when `status.observedGeneration` has been the same and behind `metadata.generation`, as far as this
    /// process has seen; `None` if it is not behind or this is unknown. The generation increases with every annotation
    /// of a Deployment and is observed some milliseconds later.
    pub behind_since: Option<Timestamp>,
    /// Since when it has not been ready by [`ready`](crate::ready()), as far as this process has seen; `None` if it is
    /// ready or this is unknown.
    pub unready_since: Option<Timestamp>,
    /// Since when condition Progressing has reason ProgressDeadlineExceeded.
    pub deadline_exceeded: Option<Timestamp>,
    /// Since when condition Available has been False with reason MinimumReplicasUnavailable.
    pub unavailable_since: Option<Timestamp>,
}

/// Percentage of requests that each side gets; the two sum to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// Percent to the primary.
    pub primary: u8,
    /// Percent to the canary.
    pub canary: u8,
}

impl Weights {
    /// Weights of `canary` percent for the canary and the rest for the primary; values above 100 count as 100.
    #[must_use]
    pub fn canary(canary: u8) -> Weights {
        let canary = canary.min(100);
        Weights {
            primary: 100 - canary,
            canary,
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.primary, self.canary)
    }
}

/// State of the generated objects other than the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// Service `<service>-canary`.
    pub canary_service: Presence,
    /// Service `<service>-primary`.
    pub primary_service: Presence,
    /// Service `<service>`, selecting the primary.
    pub apex_service: Presence,
    /// The route object and what belongs to it (Istio: VirtualService and two DestinationRules), weights aside.
    pub route: Presence,
}

/// State of a generated object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does not exist.
    Missing,
    /// It exists but differs from the desired state.
    Drifted,
    /// It matches the desired state.
    Current,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_always_sum_to_a_hundred() {
        for canary in 0..=u8::MAX {
            let weights = Weights::canary(canary);
            assert_eq!(weights.primary + weights.canary, 100);
        }
    }
}

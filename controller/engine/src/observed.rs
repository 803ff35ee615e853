//! Everything the shell read for one tick. The engine knows nothing else, not even the time of day.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;

use crate::status::Status;

/// A snapshot of the world around one canary.
///
/// It must be at least as new as everything the last plan wrote: an own write that is not yet visible would look
/// like a change made by someone else (a weight lowered, a copy undone). A read that failed is no snapshot; then
/// there is no tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of this tick.
    pub now: Timestamp,
    /// The status as last written to the Canary object.
    pub status: Status,
    /// The target workload, and the revision found in it.
    pub target: TargetState,
    /// The primary workload, if it exists.
    pub primary: Option<PrimaryState>,
    /// Generated objects other than the primary: which are missing or differ from what is wanted.
    pub objects: Objects,
    /// Live weights, read from the route object, not from the status; `None` while there is no route object.
    pub route: Option<Weights>,
    /// Why requests may not follow the route object as it is now, in words: a gateway has not taken it up yet, or
    /// refuses it. `None` when it is in force, or when the router cannot tell.
    pub route_pending: Option<String>,
    /// Since when that has been so, as far as this process saw; `None` when nothing is pending or nobody knows.
    pub route_pending_since: Option<Timestamp>,
}

/// The target workload.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// Somebody deleted it. Then it has no replicas, and revision and configuration say nothing.
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
    /// The target revision its template was copied from, kept as an annotation; `None` when unknown (made by
    /// another controller).
    pub copied_revision: Option<String>,
    /// The tracked configuration copied together with it (same form as `TargetState::configs`), kept as an
    /// annotation too; empty when unknown. Template and configuration together are what was promoted: without
    /// the second, a release that changes only a ConfigMap could not be told from the one before.
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
    /// Since when `status.observedGeneration` has stood still behind `metadata.generation`, as far as this process saw;
    /// `None` when it is not behind or nobody knows. A generation counts up with every annotation of a Deployment, and
    /// is observed some milliseconds later.
    pub behind_since: Option<Timestamp>,
    /// Since when it has not been ready by the rules of [`ready`](crate::ready()), as far as this process saw; `None` when
    /// it is ready or nobody knows.
    pub unready_since: Option<Timestamp>,
    /// Since when condition Progressing has reason ProgressDeadlineExceeded.
    pub deadline_exceeded: Option<Timestamp>,
    /// Since when condition Available has been False with reason MinimumReplicasUnavailable.
    pub unavailable_since: Option<Timestamp>,
}

/// Percent of requests that each side gets; the two sum to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// Percent to the primary.
    pub primary: u8,
    /// Percent to the canary.
    pub canary: u8,
}

impl Weights {
    /// `canary` percent to the canary and the rest to the primary; anything above 100 counts as 100.
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

/// Presence of the generated objects other than the primary.
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

/// Whether a generated object is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does not exist.
    Missing,
    /// It exists but differs from what is wanted.
    Drifted,
    /// It is as wanted.
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

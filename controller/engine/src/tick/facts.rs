//! State of the run and of both sides.

use super::Tick;
use crate::{observed::Weights, readiness::Readiness, strategy::Position};

impl Tick<'_> {
    /// Returns whether the target differs from the run in progress, or from the last one.
    pub(crate) fn target_changed(&self) -> bool {
        let target = &self.observed.target;
        self.status.last_applied.as_ref() != Some(&target.revision)
            || self.status.tracked_configs != target.configs
    }

    /// Whether the target is equal to what the primary runs. The copy in the primary decides, because after a failed
    /// promotion it is not `last_promoted`. The status decides if there is no primary, or if another controller created
    /// it.
    pub(crate) fn target_is_promoted(&self) -> bool {
        let target = &self.observed.target;
        match self.observed.primary.as_ref().and_then(|primary| {
            primary
                .copied_revision
                .as_ref()
                .map(|r| (r, &primary.copied_configs))
        }) {
            Some((revision, configs)) => *revision == target.revision && *configs == target.configs,
            None => {
                let status = &self.status;
                let differs = match &status.promoted_configs {
                    Some(configs) => *configs != target.configs,
                    None => status.last_applied.as_ref() == Some(&target.revision),
                };
                status.last_promoted.as_ref() == Some(&target.revision) && !differs
            }
        }
    }

    /// Returns whether the revision of this run has been copied to the primary; `None` if the primary does not show it.
    pub(crate) fn run_is_copied(&self) -> Option<bool> {
        let primary = self.observed.primary.as_ref()?;
        let revision = primary.copied_revision.as_ref()?;
        Some(
            self.status.last_applied.as_ref() == Some(revision)
                && self.status.tracked_configs == primary.copied_configs,
        )
    }

    /// Returns whether the run, or the last one, is about the promoted revision, because the target was set back to it.
    pub(crate) fn run_is_promoted(&self) -> bool {
        let status = &self.status;
        status.last_applied == status.last_promoted
            && status
                .promoted_configs
                .as_ref()
                .is_none_or(|configs| *configs == status.tracked_configs)
    }

    /// Returns whether the canary has no available replica.
    pub(crate) fn canary_is_down(&self) -> bool {
        self.observed.target.workload.available == 0
    }

    /// Returns whether the primary has an available replica.
    pub(crate) fn primary_answers(&self) -> bool {
        let primary = self.observed.primary.as_ref();
        primary.is_some_and(|primary| primary.workload.available > 0)
    }

    /// Whether the primary may take the traffic back: it has available replicas and its rollout is not stuck, or the
    /// canary is down too.
    pub(crate) fn primary_may_take_over(&self) -> bool {
        let stuck = matches!(self.primary, Readiness::Stuck(_));
        (self.primary_answers() && !stuck) || self.canary_is_down()
    }

    /// Returns whether requests do not follow the route yet. Until they do, nothing moves that depends on it.
    pub(crate) fn route_is_pending(&self) -> bool {
        self.observed.route_pending.is_some()
    }

    /// The position of the run by the live traffic.
    pub(crate) fn position(&self) -> Position {
        Position {
            traffic: self.live,
            iterations: self.status.iterations,
        }
    }

    /// The position of the run by the status.
    pub(crate) fn recorded_position(&self) -> Position {
        Position {
            traffic: Weights::canary(self.status.canary_weight),
            ..self.position()
        }
    }
}

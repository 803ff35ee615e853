//! The state of the run and of both sides.

use super::Tick;
use crate::{observed::Weights, readiness::Readiness, strategy::Position};

impl Tick<'_> {
    /// Whether the target holds something else than the run in progress, or the last one.
    pub(crate) fn target_changed(&self) -> bool {
        let target = &self.observed.target;
        self.status.last_applied.as_ref() != Some(&target.revision)
            || self.status.tracked_configs != target.configs
    }

    /// Whether the target holds what the primary runs. What was copied to the primary is the truth, because after
    /// a failed promotion it is not `last_promoted`; one that is gone, or was made by another controller, does not tell.
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

    /// Whether the revision of this run has been copied to the primary; `None` when the primary does not tell.
    pub(crate) fn run_is_copied(&self) -> Option<bool> {
        let primary = self.observed.primary.as_ref()?;
        let revision = primary.copied_revision.as_ref()?;
        Some(
            self.status.last_applied.as_ref() == Some(revision)
                && self.status.tracked_configs == primary.copied_configs,
        )
    }

    /// Whether the run, or the last one, is of what has been promoted already: the target was set back to it.
    pub(crate) fn run_is_promoted(&self) -> bool {
        let status = &self.status;
        status.last_applied == status.last_promoted
            && status
                .promoted_configs
                .as_ref()
                .is_none_or(|configs| *configs == status.tracked_configs)
    }

    /// The canary has no replica that answers.
    pub(crate) fn canary_is_down(&self) -> bool {
        self.observed.target.workload.available == 0
    }

    /// The primary has a replica that answers.
    pub(crate) fn primary_answers(&self) -> bool {
        let primary = self.observed.primary.as_ref();
        primary.is_some_and(|primary| primary.workload.available > 0)
    }

    /// Whether traffic may be sent back to the primary: it has replicas that answer and its rollout is not
    /// stuck, or there is nothing better left.
    pub(crate) fn primary_may_take_over(&self) -> bool {
        let stuck = matches!(self.primary, Readiness::Stuck(_));
        (self.primary_answers() && !stuck) || self.canary_is_down()
    }

    /// Whether requests do not follow the route yet. Nothing then moves that relies on where they go.
    pub(crate) fn route_is_pending(&self) -> bool {
        self.observed.route_pending.is_some()
    }

    /// The point that the run has reached, by the live traffic.
    pub(crate) fn position(&self) -> Position {
        Position {
            traffic: self.live,
            iterations: self.status.iterations,
        }
    }

    /// The point that the run had reached when the status was written.
    pub(crate) fn noted_position(&self) -> Position {
        Position {
            traffic: Weights::canary(self.status.canary_weight),
            ..self.position()
        }
    }
}

//! Changes of workloads and traffic.

use std::collections::BTreeMap;

use super::Tick;
use crate::{action::Action, observed::Weights, readiness::Readiness, strategy::Position};

impl Tick<'_> {
    /// Moves the run to `position`.
    pub(crate) fn move_to(&mut self, position: Position) {
        self.set_traffic(position.traffic);
        self.status.iterations = position.iterations;
    }

    /// Gives `canary` percent of the requests to the canary.
    pub(crate) fn set_canary_weight(&mut self, canary: u8) {
        self.set_traffic(Weights::canary(canary));
    }

    /// Sets the live weights if they differ, and the weight in the status.
    fn set_traffic(&mut self, weights: Weights) {
        if self.live != weights {
            self.act(Action::SetWeights(weights));
            self.live = weights;
        }
        self.status.canary_weight = weights.canary;
    }

    /// Creates the primary from the target. It is not ready until it has started.
    pub(crate) fn create_primary(&mut self, revision: String, configs: BTreeMap<String, String>) {
        self.act(Action::CreatePrimary { revision, configs });
        let (name, namespace) = (&self.canary.target.name, &self.canary.namespace);
        let why = format!("{name}-primary.{namespace} not ready: it has just been created");
        self.primary = Readiness::Waiting(why);
    }

    /// Scales the target from zero to the replicas of the primary, at least one.
    pub(crate) fn scale_up_target(&mut self) {
        if self.observed.target.workload.replicas_wanted == 0 {
            let primary = self.observed.primary.as_ref();
            let replicas = primary.map_or(1, |primary| primary.workload.replicas_wanted.max(1));
            self.act(Action::ScaleUpTarget { replicas });
        }
    }

    /// Scales the target to zero if it is not.
    pub(crate) fn scale_down_target(&mut self) {
        if self.observed.target.workload.replicas_wanted > 0 {
            self.act(Action::ScaleDownTarget);
        }
    }
}

//! The dry run of all that will be created, before the first write.
//!
//! A quota, an admission webhook or a missing right then refuses while nothing has been made. A write that cannot be tried,
//! because a webhook with side effects refuses dry runs, is taken for possible. So is what only shows when several new
//! objects are counted together.

use std::collections::BTreeMap;

use canary_engine::{
    action::Action,
    observed::{Observed, Weights},
    phase::Phase,
};

use super::{apply::Executor, claims, error::ApplyError, snapshot::Snapshot};
use crate::{cluster::Cluster, objects::services::Role};

/// The begin of an initialization or a release for which objects will be created.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning<'a> {
    /// An initialization: its later ticks create objects too.
    Initialization {
        /// The target revision to copy.
        revision: &'a str,
        /// The tracked configuration to copy, by checksum.
        configs: &'a BTreeMap<String, String>,
    },
    /// A release whose promotion creates copies of configuration.
    Release,
}

impl<'a> Beginning<'a> {
    /// Reads the begin from the actions of a plan; `None` means that no object will be created.
    pub(super) fn of(
        snapshot: &Snapshot,
        actions: &'a [Action],
        cluster: &Cluster,
    ) -> Option<Self> {
        let observed = &snapshot.observed;
        match observed.status.phase {
            Phase::None | Phase::Initializing => actions.iter().find_map(|action| match action {
                Action::CreatePrimary { revision, configs } => {
                    Some(Self::Initialization { revision, configs })
                }
                _ => None,
            }),
            _ if starts_release(observed, actions) => {
                let target = &observed.target;
                let creates = claims::lacks_copy(&snapshot.release, &target.configs, cluster);
                creates.then_some(Self::Release)
            }
            _ => None,
        }
    }
}

/// Returns whether a release starts, and the canary has no traffic that would have to be taken from it.
fn starts_release(observed: &Observed, actions: &[Action]) -> bool {
    let rests = |phase| {
        matches!(
            phase,
            Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed
        )
    };
    let starts = |action: &Action| matches!(action, Action::WriteStatus(new) if !rests(new.phase));
    rests(observed.status.phase)
        && observed.route.is_none_or(|weights| weights.canary == 0)
        && actions.iter().any(starts)
}

impl Executor<'_> {
    /// Tries every write that will create an object.
    ///
    /// # Errors
    /// Of the first write that the API server would refuse. Nothing has been written.
    pub(super) async fn dry_run(
        &self,
        beginning: Beginning<'_>,
        observed: &Observed,
    ) -> Result<(), ApplyError> {
        let cluster = self.cluster.dry_run();
        let trial = Executor {
            cluster: &cluster,
            ..*self
        };
        match beginning {
            Beginning::Initialization { revision, configs } => {
                for role in [Role::Canary, Role::Primary, Role::Apex] {
                    trial.ensure_service(role).await?;
                }
                trial.copy_to_primary(revision, configs, true).await?;
                let weights = Weights::canary(0);
                self.router.ensure(self.release, &cluster, weights).await?;
            }
            Beginning::Release => {
                let target = trial.live_target(&observed.target.revision).await?;
                let sources = trial
                    .live_configs(&target, &observed.target.configs)
                    .await?;
                trial.copy_configs(&sources).await?;
            }
        }
        Ok(())
    }
}

//! Revisions and checks in the status.

use std::collections::BTreeMap;

use super::Tick;
use crate::status::{CHECKS_KEPT, Check};

impl Tick<'_> {
    /// Adds checks, newest last, and drops the oldest.
    pub(crate) fn record_checks(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.status.checks.extend(checks);
        let surplus = self.status.checks.len().saturating_sub(CHECKS_KEPT);
        self.status.checks.drain(..surplus);
    }

    /// Takes what the target holds as the subject of this run.
    pub(crate) fn take_up_target(&mut self) {
        let target = &self.observed.target;
        self.status.last_applied = Some(target.revision.clone());
        self.status.tracked_configs = target.configs.clone();
    }

    /// Takes what the primary holds as promoted. This is the subject of this run, unless someone deleted the primary at
    /// the last moment and it was recreated from the revision promoted before.
    pub(crate) fn record_promoted(&mut self) {
        let copied = self.observed.primary.as_ref().and_then(|primary| {
            let revision = primary.copied_revision.clone()?;
            Some((revision, primary.copied_configs.clone()))
        });
        let (revision, configs) = copied.unwrap_or_else(|| self.run());
        self.status.last_promoted = Some(revision);
        self.status.promoted_configs = Some(configs);
    }

    /// Revision and configuration of the run. A copy is pinned to them.
    pub(crate) fn run(&self) -> (String, BTreeMap<String, String>) {
        let revision = self.status.last_applied.clone().unwrap_or_default();
        (revision, self.status.tracked_configs.clone())
    }
}

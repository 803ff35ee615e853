//! Revisions and checks in the status.

use std::collections::BTreeMap;

use super::Tick;
use crate::status::{CHECKS_KEPT, Check};

impl Tick<'_> {
    /// Remembers checks, newest last, the oldest falling out.
    pub(crate) fn record(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.status.checks.extend(checks);
        let surplus = self.status.checks.len().saturating_sub(CHECKS_KEPT);
        self.status.checks.drain(..surplus);
    }

    /// What the target holds now is what this run is about.
    pub(crate) fn take_up_target(&mut self) {
        let target = &self.observed.target;
        self.status.last_applied = Some(target.revision.clone());
        self.status.tracked_configs = target.configs.clone();
    }

    /// What the primary holds now is what has been promoted: that of this run, unless someone deleted the primary at the
    /// last moment and it was made again from what was promoted before.
    pub(crate) fn note_promoted(&mut self) {
        let copied = self.observed.primary.as_ref().and_then(|primary| {
            let revision = primary.copied_revision.clone()?;
            Some((revision, primary.copied_configs.clone()))
        });
        let (revision, configs) = copied.unwrap_or_else(|| self.run());
        self.status.last_promoted = Some(revision);
        self.status.promoted_configs = Some(configs);
    }

    /// Revision and configuration of the run, for pinning a copy to exactly them.
    pub(crate) fn run(&self) -> (String, BTreeMap<String, String>) {
        let revision = self.status.last_applied.clone().unwrap_or_default();
        (revision, self.status.tracked_configs.clone())
    }
}

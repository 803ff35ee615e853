//! State that all ticks share.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use canary_engine::{action::Action, question::HookAnswer};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    definition::Definition,
    index::Index,
    once::{Once, Sent},
};
use crate::{
    cluster::{Cluster, Key},
    process::{
        background::Background, clock::Clock, http::Transport, lease::Fence, metrics::Metrics,
        settings::Settings,
    },
};

/// State that all ticks share.
pub struct Context {
    /// Local copies and writes.
    pub cluster: Arc<Cluster>,
    /// Which canaries read which objects.
    pub index: Index,
    /// Settings for all canaries.
    pub settings: Settings,
    /// The time of day.
    pub clock: Clock,
    /// Outgoing calls.
    pub transport: Arc<dyn Transport>,
    /// Calls that must not hold up a tick.
    pub background: Background,
    /// The controller's own metrics.
    pub metrics: Metrics,
    /// Whether this process may act.
    pub fence: Fence,
    /// Named in events as the reporting instance.
    pub instance: String,
    /// Failures in a row, by canary.
    pub failures: Failures,
    /// Remarks that were made.
    pub remarked: Remarked,
    /// Events that were sent.
    pub events: Once<Sent>,
    /// Alerts and counts.
    pub effects: Once<()>,
    /// Post-rollout webhooks that were called, and their answers.
    pub hooks: Once<HookAnswer>,
    /// Recent repairs, by canary.
    pub repairs: Repairs,
    /// Generations that are behind.
    pub lags: Lags,
    /// Whether the definition of Canaries keeps their status.
    pub definition: Definition,
    /// Objects that could not be owned again.
    pub unownable: Unownable,
}

/// Since when a workload has been unready, its controller has not observed its generation, or a route has been pending, by
/// namespace and name.
#[derive(Debug, Default)]
pub struct Lags(Mutex<HashMap<String, (Option<i64>, Timestamp)>>);

impl Lags {
    /// Since when the generation has stood still behind at `observed`. One that moves is behind another change, which is
    /// new.
    pub fn since(
        &self,
        name: &str,
        observed: Option<i64>,
        is_observed: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_observed {
            all.remove(name);
            return None;
        }
        match all.get(name) {
            Some((before, since)) if *before == observed => Some(*since),
            _ => {
                all.insert(name.to_owned(), (observed, now));
                Some(now)
            }
        }
    }
}

/// Recent repairs, by canary. Two controllers that disagree about an object would otherwise rewrite it as fast as
/// watches tell them of each other.
#[derive(Debug, Default)]
pub struct Repairs(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Repairs {
    /// More repairs than this within a minute are a quarrel; an initialization takes fewer.
    const LIMIT: usize = 20;

    /// Counts a plan that repairs something; when there were too many of late, how long to wait before the next. One
    /// that ends a release has it carried out all the same: a rollback must not wait for a quarrel to end.
    pub fn too_often(&self, canary: &str, actions: &[Action]) -> Option<Duration> {
        let ends = |action: &Action| matches!(action, Action::ScaleDownTarget | Action::Alert(_));
        if !actions.iter().any(Action::is_repair) || actions.iter().any(ends) {
            return None;
        }
        let minute = Duration::from_secs(60);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = all.entry(canary.to_owned()).or_default();
        while recent.front().is_some_and(|time| time.elapsed() >= minute) {
            recent.pop_front();
        }
        match recent.front() {
            Some(first) if recent.len() >= Self::LIMIT => {
                Some(minute.saturating_sub(first.elapsed()))
            }
            _ => {
                recent.push_back(Instant::now());
                None
            }
        }
    }
}

/// Remarks that this process made, so that an idle canary costs no request.
#[derive(Debug, Default)]
pub struct Remarked(Mutex<HashSet<(String, String)>>);

impl Remarked {
    /// Returns whether this is the first remark with this key on the canary with this uid.
    pub fn is_new(&self, uid: &str, key: &str) -> bool {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert((uid.to_owned(), key.to_owned()))
    }
}

/// Failures in a row, by canary: each waits longer than the one before.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// Counts a failure and gives the time to wait: half a second, doubled each time up to a minute, a little at
    /// random so that many canaries do not come back at once.
    pub fn wait(&self, canary: &str) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(canary.to_owned()).or_insert(0);
        let base = Duration::from_millis(500).saturating_mul(1 << (*count).min(7));
        *count = count.saturating_add(1);
        base.min(Duration::from_secs(60))
            .mul_f64(0.8 + fastrand::f64() * 0.4)
    }

    /// Forgets the failures of a canary.
    pub fn clear(&self, canary: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(canary);
    }
}

/// Objects that the API server did not let the canary with this uid own again.
#[derive(Debug, Default)]
pub struct Unownable(Mutex<HashMap<(String, Key), Instant>>);

impl Unownable {
    /// Until it is tried again, if there is a tick then.
    const PAUSE: Duration = Duration::from_secs(3600);

    pub(super) fn is_known(&self, uid: &str, key: &Key) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = all.get(&(uid.to_owned(), key.clone()));
        refused.is_some_and(|at| at.elapsed() < Self::PAUSE)
    }

    pub(super) fn add(&self, uid: &str, key: Key) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, at| at.elapsed() < Self::PAUSE);
        all.insert((uid.to_owned(), key), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarrel_over_objects_is_slowed_down_and_yet_holds_up_no_rollback() {
        let repairs = Repairs::default();
        let quarrel = [Action::EnsureApexService];
        let slowed = (0..100).find(|_| repairs.too_often("app.ns", &quarrel).is_some());
        assert_eq!(slowed, Some(Repairs::LIMIT));
        let rollback = [Action::EnsureApexService, Action::ScaleDownTarget];
        assert_eq!(repairs.too_often("app.ns", &rollback), None);
        assert_eq!(repairs.too_often("other.ns", &quarrel), None);
    }
}

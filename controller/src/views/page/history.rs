//! The status changes of each canary that this process has seen.
//!
//! Events have more detail. But reading them needs a permission that the controller does not otherwise need, and one
//! more watch on one of the busiest kinds of a cluster. The status has the important changes, and every replica sees it.

use std::collections::{HashMap, HashSet, VecDeque};

use kube::ResourceExt;
use serde::Serialize;

use crate::{cluster::Object, release::status};

/// Moments kept per canary: enough for a release of ten steps with a few failed checks in each.
const KEPT: usize = 40;

/// The status at one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When the status was written.
    pub time: Option<String>,
    /// Phase.
    pub phase: String,
    /// Weight of the canary in percent.
    pub weight: i64,
    /// Failed checks.
    pub failed_checks: i64,
    /// Message of `status.waiting`, or else of the condition.
    pub message: String,
}

/// Moments of all canaries.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<(String, String), Past>);

#[derive(Debug, Default)]
struct Past {
    uid: String,
    moments: VecDeque<Moment>,
    /// Number of moments so far, including those that were dropped.
    length: u64,
}

impl History {
    /// Records the status of a Canary if it changed.
    pub(super) fn note(&mut self, canary: &Object) {
        let uid = canary.uid().unwrap_or_default();
        let past = self.0.entry(key(canary)).or_default();
        if past.uid != uid {
            *past = Past {
                uid,
                ..Past::default()
            };
        }
        let moment = moment(canary);
        let is_news = past.moments.back().is_none_or(|last| {
            let same_time = Moment {
                time: last.time.clone(),
                ..moment.clone()
            };
            same_time != *last
        });
        if is_news && !moment.phase.is_empty() {
            past.moments.push_back(moment);
            past.length += 1;
            if past.moments.len() > KEPT {
                past.moments.pop_front();
            }
        }
    }

    /// Drops a Canary.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) {
        self.0.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Drops all but these.
    pub(super) fn keep_only<'a>(&mut self, canaries: impl Iterator<Item = &'a Object>) {
        let known: HashSet<_> = canaries.map(key).collect();
        self.0.retain(|key, _| known.contains(key));
    }

    /// Number of moments of a Canary so far, including those that were dropped.
    pub(super) fn length(&self, canary: &Object) -> u64 {
        self.0.get(&key(canary)).map_or(0, |past| past.length)
    }

    /// The moments of a Canary, oldest first.
    pub(super) fn of(&self, canary: &Object) -> Vec<Moment> {
        let past = self.0.get(&key(canary));
        past.map(|past| past.moments.iter().cloned().collect())
            .unwrap_or_default()
    }
}

fn key(canary: &Object) -> (String, String) {
    (canary.namespace().unwrap_or_default(), canary.name_any())
}

fn moment(canary: &Object) -> Moment {
    let status = status::of_object(canary);
    let waiting = status.waiting.map(|waiting| waiting.message);
    let condition = || {
        let condition = status.conditions.iter().flatten().next_back();
        condition.map(|one| one.message.clone()).unwrap_or_default()
    };
    Moment {
        message: waiting
            .filter(|message| !message.is_empty())
            .unwrap_or_else(condition),
        time: status.last_transition_time,
        phase: status.phase,
        weight: status.canary_weight,
        failed_checks: status.failed_checks,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn canary(uid: &str, status: Value) -> Object {
        serde_json::from_value(
            json!({ "metadata": { "name": "app", "namespace": "ns", "uid": uid }, "status": status }),
        )
        .unwrap()
    }

    #[test]
    fn only_changes_are_recorded_and_their_number_is_bounded() {
        let mut history = History::default();
        let mut status =
            json!({ "phase": "Progressing", "canaryWeight": 10, "lastTransitionTime": "t1" });
        history.note(&canary("u", status.clone()));
        status["lastTransitionTime"] = "t2".into();
        history.note(&canary("u", status.clone()));
        status["waiting"] = json!({ "reason": "CheckFailed", "message": "Halt" });
        let last = canary("u", status.clone());
        history.note(&last);
        let messages: Vec<_> = history
            .of(&last)
            .into_iter()
            .map(|one| one.message)
            .collect();
        assert_eq!(messages, ["", "Halt"]);
        for weight in 0..100 {
            status["canaryWeight"] = weight.into();
            history.note(&canary("u", status.clone()));
        }
        let kept = history.of(&last);
        assert_eq!((kept.len(), kept[KEPT - 1].weight), (KEPT, 99));
        assert_eq!(history.length(&last), 2 + 100);
    }

    #[test]
    fn a_recreated_canary_has_no_history() {
        let mut history = History::default();
        history.note(&canary("u", json!({ "phase": "Succeeded" })));
        let new = canary("v", json!({ "phase": "" }));
        history.note(&new);
        assert_eq!(history.of(&new), []);
        history.note(&canary("v", json!({ "phase": "Initializing" })));
        assert_eq!(history.of(&new).len(), 1);
        history.keep_only(std::iter::empty());
        assert_eq!(history.of(&new), []);
    }
}

//! `status` of the Canary: from the object to the engine and back.

use std::collections::BTreeMap;

use canary_engine::{
    canary::TargetKind,
    condition,
    phase::Phase,
    status::{Check, Cleanup, Status, Verdict, Waiting, WaitingReason},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    api::{CanaryStatus, CheckStatus, Condition, WaitingStatus},
    cluster::Object,
    process::clock::seconds,
};

/// `status.waiting.reason` of a Canary that was refused.
pub const INVALID: &str = "Invalid";

/// `status.waiting.reason` of a Canary whose last tick the API server stopped.
pub const REFUSED: &str = "Refused";

/// The status of an object as this controller writes it; empty when there is none or it cannot be read.
#[must_use]
pub fn of_object(object: &Object) -> CanaryStatus {
    let status = object.data.get("status").cloned().unwrap_or_default();
    serde_json::from_value(status).unwrap_or_default()
}

/// The status as the engine sees it.
#[must_use]
pub fn read(status: &CanaryStatus) -> Status {
    Status {
        phase: Phase::parse(&status.phase).unwrap_or_default(),
        failed_checks: clamp(status.failed_checks),
        canary_weight: u8::try_from(status.canary_weight.clamp(0, 100)).unwrap_or(0),
        iterations: clamp(status.iterations),
        last_applied: text(&status.last_applied_spec),
        last_promoted: text(&status.last_promoted_spec),
        tracked_configs: status.tracked_configs.clone().unwrap_or_default(),
        promoted_configs: status.promoted_configs.clone(),
        last_check: time(status.last_check_time.as_ref()),
        phase_since: time(status.phase_since.as_ref()),
        run_started: time(status.run_started.as_ref()),
        pre_rollout_done: status.pre_rollout_done.unwrap_or(false),
        cleanup: status.cleanup.as_deref().and_then(Cleanup::parse),
        waiting: status.waiting.as_ref().and_then(read_waiting),
        checks: status
            .checks
            .iter()
            .flatten()
            .filter_map(read_check)
            .collect(),
    }
}

fn clamp(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn text(given: &Option<String>) -> Option<String> {
    given.clone().filter(|text| !text.is_empty())
}

fn time(given: Option<&String>) -> Option<Timestamp> {
    given?.parse().ok()
}

fn read_waiting(waiting: &WaitingStatus) -> Option<Waiting> {
    let reason = WaitingReason::parse(&waiting.reason)?;
    Some(Waiting {
        reason,
        message: waiting.message.clone(),
        announced: waiting.announced,
    })
}

fn read_check(check: &CheckStatus) -> Option<Check> {
    Some(Check {
        time: time(Some(&check.time))?,
        name: check.name.clone(),
        weight: u8::try_from(check.weight.clamp(0, 100)).unwrap_or(0),
        value: check.value,
        threshold: check.threshold.clone(),
        verdict: Verdict::parse(&check.verdict)?,
        message: check.message.clone(),
    })
}

/// The merge patch that turns `old` into `new`, or `None` when nothing differs. Fields of others are not
/// mentioned, so they survive.
#[must_use]
pub fn patch(old: &CanaryStatus, new: &Status, kind: TargetKind, now: Timestamp) -> Option<Value> {
    let written = write(old, new, kind, now);
    let is_first = old.phase.is_empty();
    let mut old = fields(old);
    if is_first {
        // Zero is written as well: people and scripts read these from the start (Flagger).
        for counter in ["failedChecks", "canaryWeight", "iterations"] {
            old.remove(counter);
        }
    }
    let mut patch = Map::new();
    for (name, value) in &written {
        let before = old.get(name).unwrap_or(&Value::Null);
        if before != value {
            patch.insert(name.clone(), difference(before, value));
        }
    }
    if patch.is_empty() {
        return None;
    }
    patch.insert("lastTransitionTime".to_owned(), json!(seconds(now)));
    Some(Value::Object(patch))
}

/// A merge patch merges objects, so entries that are gone are said to be.
fn difference(before: &Value, after: &Value) -> Value {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut merged = after.clone();
            for gone in before.keys().filter(|key| !after.contains_key(*key)) {
                merged.insert(gone.clone(), Value::Null);
            }
            Value::Object(merged)
        }
        _ => after.clone(),
    }
}

fn fields(status: &CanaryStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Every field that this controller owns, absent ones as null.
fn write(
    old: &CanaryStatus,
    new: &Status,
    kind: TargetKind,
    now: Timestamp,
) -> BTreeMap<String, Value> {
    let stamp = |time: Option<Timestamp>| json!(time.map(|time| time.to_string()));
    let configs = (!new.tracked_configs.is_empty()).then_some(&new.tracked_configs);
    let waiting = new.waiting.as_ref().map(|waiting| WaitingStatus {
        reason: waiting.reason.as_str().to_owned(),
        message: waiting.message.clone(),
        announced: waiting.announced,
    });
    let checks =
        (!new.checks.is_empty()).then(|| new.checks.iter().map(write_check).collect::<Vec<_>>());
    let mut fields = BTreeMap::from([
        ("phase", json!(new.phase.as_str())),
        ("failedChecks", json!(new.failed_checks)),
        ("canaryWeight", json!(new.canary_weight)),
        ("iterations", json!(new.iterations)),
        ("trackedConfigs", json!(configs)),
        ("promotedConfigs", json!(new.promoted_configs)),
        ("lastAppliedSpec", json!(new.last_applied)),
        ("lastPromotedSpec", json!(new.last_promoted)),
        ("lastCheckTime", stamp(new.last_check)),
        ("phaseSince", stamp(new.phase_since)),
        ("runStarted", stamp(new.run_started)),
        (
            "preRolloutDone",
            if new.pre_rollout_done {
                json!(true)
            } else {
                Value::Null
            },
        ),
        ("cleanup", json!(new.cleanup.map(Cleanup::as_str))),
        ("waiting", json!(waiting)),
        ("checks", json!(checks)),
    ]);
    if let Some(condition) = condition(old, new, kind, now) {
        fields.insert("conditions", json!([condition]));
    }
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn write_check(check: &Check) -> CheckStatus {
    CheckStatus {
        time: check.time.to_string(),
        name: check.name.clone(),
        weight: i64::from(check.weight),
        // JSON has no infinity; the message has it.
        value: check.value.filter(|value| value.is_finite()),
        threshold: check.threshold.clone(),
        verdict: check.verdict.as_str().to_owned(),
        message: check.message.clone(),
    }
}

/// The condition `Promoted` (Flagger: always the only one; its times tell when status and reason changed).
fn condition(
    old: &CanaryStatus,
    new: &Status,
    kind: TargetKind,
    now: Timestamp,
) -> Option<Condition> {
    let wanted = condition::promoted(new, kind)?;
    let before = old
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == condition::PROMOTED);
    let same_status = before.filter(|before| before.status == wanted.status);
    let same_reason = same_status.filter(|before| before.reason == wanted.reason);
    let now = seconds(now);
    Some(Condition {
        type_: condition::PROMOTED.to_owned(),
        status: wanted.status.to_owned(),
        reason: wanted.reason.to_owned(),
        message: wanted.message,
        last_update_time: same_reason
            .map_or_else(|| now.clone(), |before| before.last_update_time.clone()),
        last_transition_time: same_status.map_or(now, |before| before.last_transition_time.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn progressing() -> Status {
        Status {
            phase: Phase::Progressing,
            failed_checks: 1,
            canary_weight: 20,
            last_applied: Some("sha256:a".to_owned()),
            tracked_configs: BTreeMap::from([("secret/a".to_owned(), "1".to_owned())]),
            last_check: Some(at(5)),
            phase_since: Some(at(1)),
            run_started: Some(at(1)),
            pre_rollout_done: true,
            waiting: Some(Waiting {
                reason: WaitingReason::CheckFailed,
                message: "Halt".to_owned(),
                announced: true,
            }),
            checks: vec![Check {
                time: at(5),
                name: "m".to_owned(),
                weight: 20,
                value: Some(f64::INFINITY),
                threshold: "<= 3".to_owned(),
                verdict: Verdict::Fail,
                message: "too much".to_owned(),
            }],
            ..Status::default()
        }
    }

    /// What the API server makes of a merge patch.
    fn merged(old: &CanaryStatus, patch: &Value) -> CanaryStatus {
        let mut value = json!(old);
        json_patch::merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let status = progressing();
        let patch = patch(
            &CanaryStatus::default(),
            &status,
            TargetKind::Deployment,
            at(9),
        )
        .unwrap();
        let written = merged(&CanaryStatus::default(), &patch);
        let mut expected = status;
        expected.checks[0].value = None;
        assert_eq!(read(&written), expected);
        insta::assert_yaml_snapshot!(written);
    }

    #[test]
    fn the_first_status_has_every_counter() {
        let initializing = Status {
            phase: Phase::Initializing,
            ..Status::default()
        };
        let waiting_only = CanaryStatus {
            waiting: Some(WaitingStatus::default()),
            ..CanaryStatus::default()
        };
        for old in [CanaryStatus::default(), waiting_only] {
            let patch = patch(&old, &initializing, TargetKind::Deployment, at(9)).unwrap();
            for counter in ["failedChecks", "canaryWeight", "iterations"] {
                assert_eq!(patch[counter], 0, "{counter}");
            }
        }
    }

    #[test]
    fn nothing_is_written_when_nothing_differs() {
        let first = patch(
            &CanaryStatus::default(),
            &progressing(),
            TargetKind::Deployment,
            at(9),
        )
        .unwrap();
        let written = merged(&CanaryStatus::default(), &first);
        let mut same = progressing();
        same.checks[0].value = None;
        assert_eq!(patch(&written, &same, TargetKind::Deployment, at(99)), None);
    }

    #[test]
    fn what_is_gone_is_removed_and_what_others_wrote_survives() {
        let mut old = merged(
            &CanaryStatus::default(),
            &patch(
                &CanaryStatus::default(),
                &progressing(),
                TargetKind::Deployment,
                at(9),
            )
            .unwrap(),
        );
        old.unknown
            .insert("lastTrackedRevision".to_owned(), json!("7"));
        let mut new = progressing();
        new.waiting = None;
        new.checks.clear();
        new.tracked_configs = BTreeMap::from([("secret/b".to_owned(), "2".to_owned())]);
        let after = merged(
            &old,
            &patch(&old, &new, TargetKind::Deployment, at(10)).unwrap(),
        );
        assert_eq!(read(&after), new);
        assert_eq!(after.unknown["lastTrackedRevision"], "7");
    }

    #[test]
    fn a_change_of_reason_keeps_the_time_of_the_status() {
        let old = merged(
            &CanaryStatus::default(),
            &patch(
                &CanaryStatus::default(),
                &progressing(),
                TargetKind::Deployment,
                at(9),
            )
            .unwrap(),
        );
        let promoting = Status {
            phase: Phase::Promoting,
            ..progressing()
        };
        let after = merged(
            &old,
            &patch(&old, &promoting, TargetKind::Deployment, at(60)).unwrap(),
        );
        let condition = &after.conditions.unwrap()[0];
        assert_eq!(condition.last_transition_time, seconds(at(9)));
        assert_eq!(condition.last_update_time, seconds(at(60)));
    }
}

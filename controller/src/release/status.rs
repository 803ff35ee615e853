//! Conversion of the Canary's `status` from the object to the engine and back.

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

/// `status.waiting.reason` of a Canary that failed validation.
pub const INVALID: &str = "Invalid";

/// `status.waiting.reason` of a Canary whose last tick failed because the API server refused a request.
pub const REFUSED: &str = "Refused";

/// The status of a Canary object. Empty if the object has none or it cannot be parsed.
#[must_use]
pub fn of_object(object: &Object) -> CanaryStatus {
    let status = object.data.get("status").cloned().unwrap_or_default();
    serde_json::from_value(status).unwrap_or_default()
}

/// Converts the status of the object to that of the engine.
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

/// The merge patch that turns `old` into `new`, or `None` if they are equal. The patch omits the fields of other
/// writers, so they survive.
#[must_use]
pub fn patch(old: &CanaryStatus, new: &Status, kind: TargetKind, now: Timestamp) -> Option<Value> {
    let written = write(old, new, kind, now);
    let is_first = old.phase.is_empty();
    let mut old = fields(old);
    if is_first {
        // Flagger: the counters are present from the start, also when they are zero.
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

/// The value of a field in the merge patch. A merge patch keeps entries that it omits, so removed entries are set to
/// null.
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

/// All fields that this controller owns. Absent ones are null.
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
        // JSON cannot represent infinity; the message contains the value.
        value: check.value.filter(|value| value.is_finite()),
        threshold: check.threshold.clone(),
        verdict: check.verdict.as_str().to_owned(),
        message: check.message.clone(),
    }
}

/// The condition `Promoted`, the only one that Flagger sets. Its times are those of the last change of status and of
/// reason.
fn condition(
    old: &CanaryStatus,
    new: &Status,
    kind: TargetKind,
    now: Timestamp,
) -> Option<Condition> {
    let desired = condition::promoted(new, kind)?;
    let before = old
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == condition::PROMOTED);
    let same_status = before.filter(|before| before.status == desired.status);
    let same_reason = same_status.filter(|before| before.reason == desired.reason);
    let now = seconds(now);
    Some(Condition {
        type_: condition::PROMOTED.to_owned(),
        status: desired.status.to_owned(),
        reason: desired.reason.to_owned(),
        message: desired.message,
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

    /// Applies a merge patch as the API server does.
    fn merged(old: &CanaryStatus, patch: &Value) -> CanaryStatus {
        let mut value = json!(old);
        json_patch::merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_written_status_is_read_back_unchanged() {
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
    fn the_first_status_contains_every_counter() {
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
    fn an_unchanged_status_is_not_written() {
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
    fn removed_entries_are_cleared_and_fields_of_others_survive() {
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
    fn a_change_of_reason_keeps_the_transition_time() {
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

//! Pods.

use jiff::Timestamp;
use serde_json::Value;

use super::{Printer, age, created, name, number, text_or_none};
use crate::object;

pub(super) const PRINTER: Printer = Printer {
    columns: &[
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
        "IP:1",
        "Node:1",
        "Nominated Node:1",
        "Readiness Gates:1",
    ],
    cells,
};

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = list(&pod["status"]["containerStatuses"]);
    let ready = statuses.iter().filter(|status| is_ready(status)).count();
    let total = list(&pod["spec"]["containers"]).len();
    vec![
        name(pod),
        format!("{ready}/{total}").into(),
        status(pod).into(),
        restarts(statuses, now).into(),
        created(pod, now),
        text_or_none(pod, "/status/podIP"),
        text_or_none(pod, "/spec/nodeName"),
        text_or_none(pod, "/status/nominatedNodeName"),
        "<none>".into(),
    ]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_ready(status: &Value) -> bool {
    status["ready"] == true && !status["state"]["running"].is_null()
}

/// One word for the state of the pod: what holds it up, or else its phase.
fn status(pod: &Value) -> String {
    if object::is_deleting(pod) {
        let lost = object::text(pod, "/status/reason") == "NodeLost";
        return if lost { "Unknown" } else { "Terminating" }.to_owned();
    }
    if let Some(reason) = initialising(pod) {
        return reason;
    }
    let phase = object::text(pod, "/status/phase");
    let given = object::text(pod, "/status/reason");
    let statuses = list(&pod["status"]["containerStatuses"]);
    let mut reason = if given.is_empty() {
        phase.to_owned()
    } else {
        given.to_owned()
    };
    // The first container's reason wins.
    for status in statuses.iter().rev() {
        if let Some(why) = holding_up(&status["state"]) {
            reason = why;
        }
    }
    if reason == "Completed" && statuses.iter().any(is_ready) {
        let is_ready = list(&pod["status"]["conditions"])
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        return if is_ready { "Running" } else { "NotReady" }.to_owned();
    }
    reason
}

/// Why a container does not run.
fn holding_up(state: &Value) -> Option<String> {
    let waiting = object::text(state, "/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    let terminated = state
        .get("terminated")
        .filter(|terminated| !terminated.is_null())?;
    let reason = object::text(terminated, "/reason");
    Some(match (reason, number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

/// What the init containers are doing, until they are done.
fn initialising(pod: &Value) -> Option<String> {
    let total = list(&pod["spec"]["initContainers"]).len();
    for (index, status) in list(&pod["status"]["initContainerStatuses"])
        .iter()
        .enumerate()
    {
        let state = &status["state"];
        let terminated = &state["terminated"];
        if !terminated.is_null() && number(terminated, "/exitCode") == 0 {
            continue;
        }
        return Some(match holding_up(state) {
            Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
            _ => format!("Init:{index}/{total}"),
        });
    }
    None
}

fn restarts(statuses: &[Value], now: Timestamp) -> String {
    let count: i64 = statuses
        .iter()
        .map(|status| number(status, "/restartCount"))
        .sum();
    let last: Option<Timestamp> = statuses
        .iter()
        .filter_map(|status| {
            object::text(status, "/lastState/terminated/finishedAt")
                .parse()
                .ok()
        })
        .max();
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", age::between(last, now)),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(state: Value) -> Value {
        json!({
            "spec": { "containers": [{}] },
            "status": { "phase": "Running", "containerStatuses": [{ "state": state, "ready": true }] },
        })
    }

    #[test]
    fn the_status_says_what_holds_the_pod_up() {
        for (pod, expected) in [
            (state(json!({"running": {}})), "Running"),
            (
                state(json!({"waiting": {"reason": "CrashLoopBackOff"}})),
                "CrashLoopBackOff",
            ),
            (state(json!({"terminated": {"exitCode": 3}})), "ExitCode:3"),
            (
                state(json!({"terminated": {"signal": 9, "exitCode": 137}})),
                "Signal:9",
            ),
            (json!({"status": {"phase": "Pending"}}), "Pending"),
            (
                json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}),
                "Terminating",
            ),
            (
                json!({
                    "spec": { "initContainers": [{}, {}] },
                    "status": { "initContainerStatuses": [{ "state": { "running": {} } }] },
                }),
                "Init:0/2",
            ),
        ] {
            assert_eq!(status(&pod), expected);
        }
    }

    #[test]
    fn restarts_say_how_long_ago() {
        let statuses = [json!({
            "restartCount": 2,
            "lastState": { "terminated": { "finishedAt": "2024-01-01T00:00:00Z" } },
        })];
        let now = "2024-01-01T00:00:40Z".parse().unwrap();
        assert_eq!(restarts(&statuses, now), "2 (40s ago)");
    }
}

//! Kinds that make pods, and those that watch over them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, containers, created, labels, name, number, selector};
use crate::object;

pub(super) const DEPLOYMENT: Printer = Printer {
    columns: &[
        "Name",
        "Ready",
        "Up-to-date",
        "Available",
        "Age",
        "Containers:1",
        "Images:1",
        "Selector:1",
    ],
    cells: |object, now| {
        let ready = number(object, "/status/readyReplicas");
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            format!("{ready}/{}", number(object, "/spec/replicas")).into(),
            number(object, "/status/updatedReplicas").into(),
            number(object, "/status/availableReplicas").into(),
            created(object, now),
            names,
            images,
            selector(&object["spec"]["selector"]).into(),
        ]
    },
};

pub(super) const REPLICA_SET: Printer = Printer {
    columns: &[
        "Name",
        "Desired",
        "Current",
        "Ready",
        "Age",
        "Containers:1",
        "Images:1",
        "Selector:1",
    ],
    cells: |object, now| {
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            number(object, "/spec/replicas").into(),
            number(object, "/status/replicas").into(),
            number(object, "/status/readyReplicas").into(),
            created(object, now),
            names,
            images,
            selector(&object["spec"]["selector"]).into(),
        ]
    },
};

pub(super) const STATEFUL_SET: Printer = Printer {
    columns: &["Name", "Ready", "Age", "Containers:1", "Images:1"],
    cells: |object, now| {
        let ready = number(object, "/status/readyReplicas");
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            format!("{ready}/{}", number(object, "/spec/replicas")).into(),
            created(object, now),
            names,
            images,
        ]
    },
};

pub(super) const DAEMON_SET: Printer = Printer {
    columns: &[
        "Name",
        "Desired",
        "Current",
        "Ready",
        "Up-to-date",
        "Available",
        "Node Selector",
        "Age",
        "Containers:1",
        "Images:1",
        "Selector:1",
    ],
    cells: |object, now| {
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            number(object, "/status/desiredNumberScheduled").into(),
            number(object, "/status/currentNumberScheduled").into(),
            number(object, "/status/numberReady").into(),
            number(object, "/status/updatedNumberScheduled").into(),
            number(object, "/status/numberAvailable").into(),
            labels(&object["spec"]["template"]["spec"]["nodeSelector"]).into(),
            created(object, now),
            names,
            images,
            selector(&object["spec"]["selector"]).into(),
        ]
    },
};

pub(super) const JOB: Printer = Printer {
    columns: &[
        "Name",
        "Status",
        "Completions",
        "Duration",
        "Age",
        "Containers:1",
        "Images:1",
    ],
    cells: |object, now| {
        let (names, images) = containers(&object["spec"]["template"]["spec"]);
        vec![
            name(object),
            job_status(object).into(),
            format!(
                "{}/{}",
                number(object, "/status/succeeded"),
                number(object, "/spec/completions")
            )
            .into(),
            job_duration(object, now).into(),
            created(object, now),
            names,
            images,
        ]
    },
};

fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        job["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if object::is_deleting(job) => "Terminating",
        () if holds("Suspended") => "Suspended",
        () => "Running",
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let time = |pointer: &str| object::text(job, pointer).parse::<Timestamp>().ok();
    time("/status/startTime").map_or_else(String::new, |start| {
        age::between(start, time("/status/completionTime").unwrap_or(now))
    })
}

pub(super) const AUTOSCALER: Printer = Printer {
    columns: &[
        "Name",
        "Reference",
        "Targets",
        "MinPods",
        "MaxPods",
        "Replicas",
        "Age",
    ],
    cells: |object, now| {
        let target = &object["spec"]["scaleTargetRef"];
        let reference = format!(
            "{}/{}",
            object::text(target, "/kind"),
            object::text(target, "/name")
        );
        vec![
            name(object),
            reference.into(),
            "<unknown>".into(),
            number(object, "/spec/minReplicas").to_string().into(),
            number(object, "/spec/maxReplicas").to_string().into(),
            number(object, "/status/currentReplicas").to_string().into(),
            created(object, now),
        ]
    },
};

pub(super) const DISRUPTION_BUDGET: Printer = Printer {
    columns: &[
        "Name",
        "Min Available",
        "Max Unavailable",
        "Allowed Disruptions",
        "Age",
    ],
    cells: |object, now| {
        let bound = |field: &str| match &object["spec"][field] {
            Value::Null => json!("N/A"),
            Value::String(text) => json!(text),
            other => json!(other.to_string()),
        };
        vec![
            name(object),
            bound("minAvailable"),
            bound("maxUnavailable"),
            number(object, "/status/disruptionsAllowed")
                .to_string()
                .into(),
            created(object, now),
        ]
    },
};

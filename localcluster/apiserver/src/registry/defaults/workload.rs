//! Defaults of the kinds that make pods.

use serde_json::json;

use super::{existing, pod};
use crate::object::{self, Fields, set_default};

fn template(spec: &mut Fields) {
    let template = object::child(spec, "template");
    object::child(template, "metadata");
    pod::spec(object::child(template, "spec"));
}

pub(super) fn deployment(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
    let strategy = object::child(spec, "strategy");
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = object::child(strategy, "rollingUpdate");
        set_default(rolling, "maxUnavailable", "25%");
        set_default(rolling, "maxSurge", "25%");
    }
    template(spec);
}

pub(super) fn replica_set(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "replicas", 1);
    template(spec);
    set_default(object::child(fields, "status"), "replicas", 0);
}

pub(super) fn stateful_set(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "podManagementPolicy", "OrderedReady");
    let strategy = object::child(spec, "updateStrategy");
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set_default(object::child(strategy, "rollingUpdate"), "partition", 0);
    }
    set_default(
        spec,
        "persistentVolumeClaimRetentionPolicy",
        json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
    );
    template(spec);
}

pub(super) fn daemon_set(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "revisionHistoryLimit", 10);
    let strategy = object::child(spec, "updateStrategy");
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = object::child(strategy, "rollingUpdate");
        set_default(rolling, "maxUnavailable", 1);
        set_default(rolling, "maxSurge", 0);
    }
    template(spec);
}

pub(super) fn job(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    set_default(spec, "parallelism", 1);
    set_default(spec, "completions", 1);
    set_default(spec, "backoffLimit", 6);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    set_default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    template(spec);
    if let Some(template) = existing(spec, "template") {
        object::child(template, "spec");
    }
}

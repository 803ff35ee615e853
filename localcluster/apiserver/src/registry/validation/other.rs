//! The smaller kinds.

use serde_json::{Value, json};

use super::{Causes, items, names};
use crate::object;

/// Largest content of a ConfigMap or Secret, as upstream: one mebibyte.
const MAX_DATA: usize = 1024 * 1024;

pub(super) fn config_map(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    data(new, &["data", "binaryData"], old, causes);
}

pub(super) fn secret(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    data(new, &["data"], old, causes);
    if let Some(old) = old {
        causes.immutable("type", &new["type"], &old["type"]);
    }
}

fn data(new: &Value, parts: &[&str], old: Option<&Value>, causes: &mut Causes) {
    let mut size = 0;
    for part in parts {
        for (key, value) in new[*part].as_object().into_iter().flatten() {
            size += value.as_str().unwrap_or_default().len();
            if let Err(detail) = names::data_key(key) {
                causes.invalid(format!("{part}[{key}]"), &json!(key), detail);
            }
        }
        if let Some(old) = old.filter(|old| old["immutable"] == true)
            && (old[*part] != new[*part] || new["immutable"] != true)
        {
            causes.forbidden(*part, "field is immutable when `immutable` is set");
        }
    }
    if size > MAX_DATA {
        causes.0.push(crate::status::Cause {
            reason: "FieldValueTooLong",
            field: String::new(),
            message: format!("Too long: may not be more than {MAX_DATA} bytes"),
        });
    }
}

pub(super) fn event(new: &Value, causes: &mut Causes) {
    let about = object::text(new, "/involvedObject/namespace");
    let namespace = object::namespace(new);
    let fits = about == namespace || (about.is_empty() && namespace == "default");
    if !fits {
        causes.invalid(
            "involvedObject.namespace",
            &json!(about),
            "does not match event.namespace",
        );
    }
}

pub(super) fn role(new: &Value, causes: &mut Causes) {
    let namespaced = !object::namespace(new).is_empty();
    for (index, rule) in items(&new["rules"]) {
        let path = format!("rules[{index}]");
        let empty = |part: &str| rule[part].as_array().is_none_or(Vec::is_empty);
        if empty("verbs") {
            causes.required(
                format!("{path}.verbs"),
                "verbs must contain at least one value",
            );
        }
        if !empty("nonResourceURLs") {
            if namespaced {
                causes.invalid(
                    format!("{path}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            continue;
        }
        if empty("apiGroups") {
            causes.required(
                format!("{path}.apiGroups"),
                "resource rules must supply at least one api group",
            );
        }
        if empty("resources") {
            causes.required(
                format!("{path}.resources"),
                "resource rules must supply at least one resource",
            );
        }
    }
}

pub(super) fn binding(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let reference = &new["roleRef"];
    let kinds: &[&str] = if object::namespace(new).is_empty() {
        &["ClusterRole"]
    } else {
        &["Role", "ClusterRole"]
    };
    if reference["kind"].is_null() {
        causes.supported("roleRef.kind".to_owned(), &json!(""), kinds);
    }
    causes.supported("roleRef.kind".to_owned(), &reference["kind"], kinds);
    if object::text(reference, "/name").is_empty() {
        causes.required("roleRef.name", "");
    }
    if old.is_some_and(|old| old["roleRef"] != *reference) {
        causes.invalid("roleRef", reference, "cannot change roleRef");
    }
    for (index, subject) in items(&new["subjects"]) {
        let path = format!("subjects[{index}]");
        if object::text(subject, "/name").is_empty() {
            causes.required(format!("{path}.name"), "");
        }
        causes.supported(
            format!("{path}.kind"),
            &subject["kind"],
            &["ServiceAccount", "User", "Group"],
        );
        if subject["kind"] == "ServiceAccount" && object::text(subject, "/namespace").is_empty() {
            causes.required(format!("{path}.namespace"), "");
        }
    }
}

pub(super) fn autoscaler(new: &Value, causes: &mut Causes) {
    let spec = &new["spec"];
    let (min, max) = (
        spec["minReplicas"].as_i64().unwrap_or(1),
        spec["maxReplicas"].as_i64().unwrap_or(0),
    );
    if max < 1 {
        causes.invalid("spec.maxReplicas", &json!(max), "must be greater than 0");
    } else if max < min {
        causes.invalid(
            "spec.maxReplicas",
            &json!(max),
            "must be greater than or equal to `minReplicas`",
        );
    }
    if min < 1 {
        causes.invalid(
            "spec.minReplicas",
            &json!(min),
            "must be greater than or equal to 1",
        );
    }
    for field in ["kind", "name"] {
        if object::text(spec, &format!("/scaleTargetRef/{field}")).is_empty() {
            causes.required(format!("spec.scaleTargetRef.{field}"), "");
        }
    }
}

pub(super) fn disruption_budget(new: &Value, causes: &mut Causes) {
    let spec = &new["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        causes.invalid(
            "spec",
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        );
    }
    for field in ["minAvailable", "maxUnavailable"] {
        super::workload::int_or_percent(&spec[field], &format!("spec.{field}"), causes);
    }
}

pub(super) fn lease(new: &Value, causes: &mut Causes) {
    let spec = &new["spec"];
    if spec["leaseDurationSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds <= 0)
    {
        causes.invalid(
            "spec.leaseDurationSeconds",
            &spec["leaseDurationSeconds"],
            "must be greater than 0",
        );
    }
    causes.not_negative("spec.leaseTransitions", &spec["leaseTransitions"]);
}

pub(super) fn endpoint_slice(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    if new["addressType"].is_null() {
        causes.required("addressType", "");
    }
    causes.supported(
        "addressType".to_owned(),
        &new["addressType"],
        &["FQDN", "IPv4", "IPv6"],
    );
    if let Some(old) = old {
        causes.immutable("addressType", &new["addressType"], &old["addressType"]);
    }
    for (index, endpoint) in items(&new["endpoints"]) {
        if endpoint["addresses"].as_array().is_none_or(Vec::is_empty) {
            causes.required(
                format!("endpoints[{index}].addresses"),
                "must contain at least 1 endpoint",
            );
        }
    }
}

//! Kinds that make pods from a template.

use serde_json::{Value, json};

use super::{Causes, names, pod};

pub(super) fn deployment(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    common(new, old, "deployment", causes);
    always_restarts(spec, causes);
    for field in [
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        causes.not_negative(format!("spec.{field}"), &spec[field]);
    }
    if let (Some(deadline), Some(ready)) = (
        spec["progressDeadlineSeconds"].as_i64(),
        spec["minReadySeconds"].as_i64(),
    ) && deadline <= ready
    {
        causes.invalid(
            "spec.progressDeadlineSeconds",
            &spec["progressDeadlineSeconds"],
            "must be greater than minReadySeconds",
        );
    }
    let strategy = &spec["strategy"];
    causes.supported(
        "spec.strategy.type".to_owned(),
        &strategy["type"],
        &["Recreate", "RollingUpdate"],
    );
    let rolling = &strategy["rollingUpdate"];
    if strategy["type"] == "Recreate" && !rolling.is_null() {
        causes.forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        );
    }
    for field in ["maxUnavailable", "maxSurge"] {
        int_or_percent(
            &rolling[field],
            &format!("spec.strategy.rollingUpdate.{field}"),
            causes,
        );
    }
    let zero = |value: &Value| *value == json!(0) || *value == json!("0%");
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        causes.invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        );
    }
}

pub(super) fn replica_set(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    common(new, old, "replicaset", causes);
    always_restarts(&new["spec"], causes);
    causes.not_negative("spec.minReadySeconds", &new["spec"]["minReadySeconds"]);
}

pub(super) fn stateful_set(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    common(new, old, "statefulset", causes);
    always_restarts(&new["spec"], causes);
}

pub(super) fn daemon_set(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    common(new, old, "daemonset", causes);
    always_restarts(&new["spec"], causes);
}

pub(super) fn job(new: &Value, causes: &mut Causes) {
    let template = &new["spec"]["template"];
    pod::spec(&template["spec"], "spec.template.spec", causes);
    causes.supported(
        "spec.template.spec.restartPolicy".to_owned(),
        &template["spec"]["restartPolicy"],
        &["OnFailure", "Never"],
    );
}

/// Replicas, selector and template.
fn common(new: &Value, old: Option<&Value>, what: &str, causes: &mut Causes) {
    let spec = &new["spec"];
    causes.not_negative("spec.replicas", &spec["replicas"]);
    let selector = &spec["selector"];
    if selector.is_null() {
        causes.required("spec.selector", "");
    } else {
        label_selector(selector, "spec.selector", causes);
        let empty = ["matchLabels", "matchExpressions"].iter().all(|part| {
            selector[*part]
                .as_object()
                .is_none_or(serde_json::Map::is_empty)
                && selector[*part].as_array().is_none_or(Vec::is_empty)
        });
        if empty {
            causes.invalid(
                "spec.selector",
                selector,
                &format!("empty selector is invalid for {what}"),
            );
        } else if !crate::registry::select::selects(
            selector,
            &spec["template"]["metadata"]["labels"],
        ) {
            causes.invalid(
                "spec.template.metadata.labels",
                &spec["template"]["metadata"]["labels"],
                "`selector` does not match template `labels`",
            );
        }
    }
    if let Some(old) = old {
        causes.immutable("spec.selector", selector, &old["spec"]["selector"]);
    }
    names::labels(
        &spec["template"]["metadata"]["labels"],
        "spec.template.metadata.labels",
        causes,
    );
    pod::spec(&spec["template"]["spec"], "spec.template.spec", causes);
}

fn always_restarts(spec: &Value, causes: &mut Causes) {
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy == "Never" || policy == "OnFailure" {
        causes.supported(
            "spec.template.spec.restartPolicy".to_owned(),
            policy,
            &["Always"],
        );
    }
}

/// A count or a percentage.
pub(super) fn int_or_percent(value: &Value, path: &str, causes: &mut Causes) {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                causes.invalid(
                    path,
                    value,
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                );
            }
        }
        other => causes.not_negative(path, other),
    }
}

/// The syntax of a label selector.
pub(super) fn label_selector(selector: &Value, path: &str, causes: &mut Causes) {
    names::labels(
        &selector["matchLabels"],
        &format!("{path}.matchLabels"),
        causes,
    );
    for (index, expression) in super::items(&selector["matchExpressions"]) {
        let path = format!("{path}.matchExpressions[{index}]");
        let has_values = expression["values"]
            .as_array()
            .is_some_and(|values| !values.is_empty());
        match expression["operator"].as_str() {
            Some("In" | "NotIn") if !has_values => causes.required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            ),
            Some("Exists" | "DoesNotExist") if has_values => causes.forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
            Some("In" | "NotIn" | "Exists" | "DoesNotExist") => {}
            _ => causes.invalid(
                format!("{path}.operator"),
                &expression["operator"],
                "not a valid selector operator",
            ),
        }
    }
}

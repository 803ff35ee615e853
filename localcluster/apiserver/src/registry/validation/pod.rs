//! Pods and pod templates.

use serde_json::{Value, json};

use super::{Causes, items, names};
use crate::object;
use crate::schema::quantity;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PORTS: std::ops::RangeInclusive<i64> = 1..=65_535;

/// A pod; most of its spec cannot be changed.
pub(super) fn object(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    spec(&new["spec"], "spec", causes);
    if let Some(old) = old
        && fixed_part(&new["spec"]) != fixed_part(&old["spec"])
    {
        causes.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations), `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        );
    }
}

fn fixed_part(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let fields = object::fields(&mut spec);
    for name in [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "nodeName",
    ] {
        fields.remove(name);
    }
    for list in ["containers", "initContainers"] {
        for container in fields
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            object::fields(container).remove("image");
        }
    }
    spec
}

/// The spec of a pod or template at `path`.
pub(super) fn spec(spec: &Value, path: &str, causes: &mut Causes) {
    if items(&spec["containers"]).next().is_none() {
        causes.required(format!("{path}.containers"), "");
    }
    causes.supported(
        format!("{path}.restartPolicy"),
        &spec["restartPolicy"],
        &["Always", "OnFailure", "Never"],
    );
    causes.supported(
        format!("{path}.dnsPolicy"),
        &spec["dnsPolicy"],
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    causes.not_negative(
        format!("{path}.terminationGracePeriodSeconds"),
        &spec["terminationGracePeriodSeconds"],
    );
    names::labels(
        &spec["nodeSelector"],
        &format!("{path}.nodeSelector"),
        causes,
    );
    let mut volumes = Vec::new();
    for (index, volume) in items(&spec["volumes"]) {
        causes.named(
            format!("{path}.volumes[{index}].name"),
            &volume["name"],
            names::label,
        );
        volumes.push(volume["name"].clone());
    }
    causes.unique(&format!("{path}.volumes"), &spec["volumes"], "name");
    for list in ["initContainers", "containers"] {
        let path = format!("{path}.{list}");
        for (index, fields) in items(&spec[list]) {
            container(fields, &format!("{path}[{index}]"), &volumes, causes);
        }
        causes.unique(&path, &spec[list], "name");
    }
}

fn container(container: &Value, path: &str, volumes: &[Value], causes: &mut Causes) {
    causes.named(format!("{path}.name"), &container["name"], names::label);
    let image = object::text(container, "/image");
    if image.is_empty() {
        causes.required(format!("{path}.image"), "");
    } else if image.trim() != image {
        causes.invalid(
            format!("{path}.image"),
            &container["image"],
            "must not have leading or trailing whitespace",
        );
    }
    causes.supported(
        format!("{path}.imagePullPolicy"),
        &container["imagePullPolicy"],
        &["Always", "IfNotPresent", "Never"],
    );
    for (index, declared) in items(&container["ports"]) {
        port(declared, &format!("{path}.ports[{index}]"), causes);
    }
    causes.unique(&format!("{path}.ports"), &container["ports"], "name");
    for (index, variable) in items(&container["env"]) {
        let path = format!("{path}.env[{index}]");
        causes.named(format!("{path}.name"), &variable["name"], names::variable);
        let has_value = !object::text(variable, "/value").is_empty();
        if has_value && !variable["valueFrom"].is_null() {
            causes.invalid(
                format!("{path}.valueFrom"),
                &json!(""),
                "may not be specified when `value` is not empty",
            );
        }
    }
    for (index, mount) in items(&container["volumeMounts"]) {
        let path = format!("{path}.volumeMounts[{index}]");
        if object::text(mount, "/mountPath").is_empty() {
            causes.required(format!("{path}.mountPath"), "");
        }
        if !volumes.contains(&mount["name"]) {
            causes.0.push(crate::status::Cause {
                reason: "FieldValueNotFound",
                field: format!("{path}.name"),
                message: format!("Not found: {}", mount["name"]),
            });
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !container[name].is_null() {
            probe(&container[name], &format!("{path}.{name}"), name, causes);
        }
    }
    resources(
        &container["resources"],
        &format!("{path}.resources"),
        causes,
    );
}

fn port(port: &Value, path: &str, causes: &mut Causes) {
    match port["containerPort"].as_i64() {
        None | Some(0) => causes.required(format!("{path}.containerPort"), ""),
        Some(number) if !PORTS.contains(&number) => causes.invalid(
            format!("{path}.containerPort"),
            &port["containerPort"],
            "must be between 1 and 65535, inclusive",
        ),
        Some(_) => {}
    }
    if !object::text(port, "/name").is_empty() {
        causes.named(format!("{path}.name"), &port["name"], names::port_name);
    }
    causes.supported(format!("{path}.protocol"), &port["protocol"], &PROTOCOLS);
}

fn probe(probe: &Value, path: &str, name: &str, causes: &mut Causes) {
    let handlers: Vec<&str> = ["exec", "httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .filter(|handler| !probe[*handler].is_null())
        .collect();
    match handlers.as_slice() {
        [] => causes.required(path, "must specify a handler type"),
        [_] => {}
        [_, second, ..] => {
            causes.forbidden(
                format!("{path}.{second}"),
                "may not specify more than 1 handler type",
            );
        }
    }
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        causes.not_negative(format!("{path}.{field}"), &probe[field]);
    }
    if name != "readinessProbe" && probe["successThreshold"].as_i64().is_some_and(|n| n > 1) {
        causes.invalid(
            format!("{path}.successThreshold"),
            &probe["successThreshold"],
            "must be 1",
        );
    }
    for handler in ["httpGet", "tcpSocket"] {
        if !probe[handler].is_null() {
            target_port(
                &probe[handler]["port"],
                &format!("{path}.{handler}.port"),
                causes,
            );
        }
    }
}

/// A port by number or name.
pub(super) fn target_port(port: &Value, path: &str, causes: &mut Causes) {
    match port {
        Value::String(_) => causes.named(path, port, names::port_name),
        Value::Number(number)
            if number
                .as_i64()
                .is_some_and(|number| PORTS.contains(&number)) => {}
        Value::Null => causes.required(path, ""),
        _ => causes.invalid(path, port, "must be between 1 and 65535, inclusive"),
    }
}

fn resources(resources: &Value, path: &str, causes: &mut Causes) {
    let amount = |value: &Value| value.as_str().and_then(quantity::parse);
    for part in ["limits", "requests"] {
        for (name, value) in resources[part].as_object().into_iter().flatten() {
            if amount(value).is_some_and(|milli| milli < 0) {
                let field = format!("{path}.{part}[{name}]");
                causes.invalid(field, value, "must be greater than or equal to 0");
            }
        }
    }
    for (name, value) in resources["requests"].as_object().into_iter().flatten() {
        if let (Some(request), Some(limit)) = (amount(value), amount(&resources["limits"][name]))
            && request > limit
        {
            causes.invalid(
                format!("{path}.requests"),
                value,
                &format!(
                    "must be less than or equal to {name} limit of {}",
                    object::text(&resources["limits"], &format!("/{name}"))
                ),
            );
        }
    }
}

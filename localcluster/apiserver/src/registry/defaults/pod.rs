//! Defaults of pods and pod templates.

use serde_json::{Value, json};

use super::{each, existing};
use crate::object::{self, Fields, set_default};

/// File mode of projected files: 0644.
const FILE_MODE: i64 = 0o644;

/// Lifetime of projected tokens, in seconds.
const TOKEN_LIFETIME: i64 = 3600;

/// A pod.
pub(super) fn object(fields: &mut Fields) {
    let pod_spec = object::child(fields, "spec");
    set_default(pod_spec, "enableServiceLinks", true);
    set_default(pod_spec, "serviceAccountName", "default");
    for list in ["containers", "initContainers"] {
        each(pod_spec, list).for_each(requests_from_limits);
    }
    spec(pod_spec);
    set_default(pod_spec, "preemptionPolicy", "PreemptLowerPriority");
    set_default(pod_spec, "priority", 0);
    let quality = quality_class(pod_spec);
    let status = object::child(fields, "status");
    set_default(status, "phase", "Pending");
    set_default(status, "qosClass", quality);
}

/// The spec of a pod or of a pod template.
pub(super) fn spec(spec: &mut Fields) {
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", 30);
    let account = spec
        .get("serviceAccountName")
        .or_else(|| spec.get("serviceAccount"))
        .cloned();
    if let Some(account) = account {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    let on_host = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for fields in each(spec, list) {
            container(fields);
            if on_host {
                each(fields, "ports").for_each(host_port);
            }
        }
    }
    each(spec, "volumes").for_each(volume);
}

fn host_port(port: &mut Fields) {
    if let Some(number) = port.get("containerPort").cloned() {
        set_default(port, "hostPort", number);
    }
}

fn container(container: &mut Fields) {
    let image = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let policy = if is_latest(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    set_default(container, "imagePullPolicy", policy);
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    each(container, "ports").for_each(|port| set_default(port, "protocol", "TCP"));
    for variable in each(container, "env") {
        if let Some(reference) =
            existing(variable, "valueFrom").and_then(|source| existing(source, "fieldRef"))
        {
            set_default(reference, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        existing(container, name).map(probe);
    }
    for hook in ["postStart", "preStop"] {
        existing(container, "lifecycle")
            .and_then(|all| existing(all, hook))
            .map(http_get);
    }
}

fn probe(probe: &mut Fields) {
    set_default(probe, "timeoutSeconds", 1);
    set_default(probe, "periodSeconds", 10);
    set_default(probe, "successThreshold", 1);
    set_default(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = existing(probe, "grpc") {
        set_default(grpc, "service", "");
    }
}

fn http_get(handler: &mut Fields) {
    if let Some(get) = existing(handler, "httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}

fn volume(volume: &mut Fields) {
    if volume.len() == 1 {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(host) = existing(volume, "hostPath") {
        set_default(host, "type", "");
    }
    if let Some(projected) = existing(volume, "projected") {
        for source in each(projected, "sources") {
            if let Some(token) = existing(source, "serviceAccountToken") {
                set_default(token, "expirationSeconds", TOKEN_LIFETIME);
            }
        }
    }
}

/// Returns whether an image names no tag or digest, or the tag `latest`.
fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn requests_from_limits(container: &mut Fields) {
    let Some(resources) = existing(container, "resources") else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = object::child(resources, "requests");
    for (name, limit) in limits {
        set_default(requests, &name, limit);
    }
}

fn quality_class(spec: &Fields) -> &'static str {
    let resources = || {
        ["containers", "initContainers"]
            .into_iter()
            .filter_map(|list| spec.get(list).and_then(Value::as_array))
            .flatten()
            .map(|container| &container["resources"])
    };
    let names = |part: &Value| {
        part.as_object()
            .is_some_and(|map| map.contains_key("cpu") || map.contains_key("memory"))
    };
    if !resources().any(|resources| names(&resources["limits"]) || names(&resources["requests"])) {
        return "BestEffort";
    }
    let guaranteed = resources().all(|resources| {
        ["cpu", "memory"].into_iter().all(|name| {
            let limit = &resources["limits"][name];
            !limit.is_null() && *limit == resources["requests"][name]
        })
    });
    if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, latest) in [
            ("app", true),
            ("app:latest", true),
            ("registry:5000/app", true),
            ("app:1.0", false),
            ("registry:5000/app:1.0", false),
            ("app@sha256:0", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn the_quality_class_follows_the_resources() {
        let class = |resources: Value| {
            let spec = json!({ "containers": [{ "resources": resources }] });
            quality_class(spec.as_object().unwrap())
        };
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            class(json!({"requests": both, "limits": both})),
            "Guaranteed"
        );
    }
}

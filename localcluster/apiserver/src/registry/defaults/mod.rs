//! Defaults of the built-in kinds, as upstream sets them.

mod pod;
mod service;
mod workload;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Behaviour, Kind};
use crate::object::{self, Fields, set_default};
use crate::schema;

pub(crate) use service::{ClusterAddresses, allocate};

/// Fills in what the client left out.
pub(crate) fn apply(kind: &Kind, object: &mut Value) {
    if let Behaviour::Custom(custom) = &kind.behaviour {
        return schema::default::apply(&custom.schema, object);
    }
    let fields = object::fields(object);
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pod::object(fields),
        ("", "services") => service::object(fields),
        ("", "secrets") => secret(fields),
        ("", "endpoints") => endpoints(fields),
        ("", "namespaces") => namespace(fields),
        ("apps", "deployments") => workload::deployment(fields),
        ("apps", "replicasets") => workload::replica_set(fields),
        ("apps", "statefulsets") => workload::stateful_set(fields),
        ("apps", "daemonsets") => workload::daemon_set(fields),
        ("batch", "jobs") => workload::job(fields),
        ("discovery.k8s.io", "endpointslices") => endpoint_slice(fields),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(fields),
        ("autoscaling", "horizontalpodautoscalers") => {
            set_default(object::child(fields, "spec"), "minReplicas", 1);
        }
        ("networking.k8s.io", "networkpolicies") => network_policy(fields),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            super::custom::complete_names(object);
        }
        _ => {}
    }
}

/// The objects in the list `key`.
fn each<'a>(fields: &'a mut Fields, key: &str) -> impl Iterator<Item = &'a mut Fields> {
    fields
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// The object at `key`, if there is one.
fn existing<'a>(fields: &'a mut Fields, key: &str) -> Option<&'a mut Fields> {
    fields.get_mut(key).and_then(Value::as_object_mut)
}

fn secret(fields: &mut Fields) {
    set_default(fields, "type", "Opaque");
    if let Some(Value::Object(plain)) = fields.remove("stringData") {
        let data = object::child(fields, "data");
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            data.insert(key, STANDARD.encode(text).into());
        }
    }
}

fn namespace(fields: &mut Fields) {
    let metadata = object::child(fields, "metadata");
    let name = metadata.get("name").cloned().unwrap_or_default();
    object::child(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), name);
}

fn endpoints(fields: &mut Fields) {
    for subset in each(fields, "subsets") {
        each(subset, "ports").for_each(|port| set_default(port, "protocol", "TCP"));
    }
}

fn endpoint_slice(fields: &mut Fields) {
    for port in each(fields, "ports") {
        set_default(port, "protocol", "TCP");
        set_default(port, "name", "");
    }
}

fn binding(fields: &mut Fields) {
    set_default(
        object::child(fields, "roleRef"),
        "apiGroup",
        "rbac.authorization.k8s.io",
    );
    for subject in each(fields, "subjects") {
        match subject.get("kind").and_then(Value::as_str) {
            Some("User" | "Group") => set_default(subject, "apiGroup", "rbac.authorization.k8s.io"),
            Some("ServiceAccount") if subject.get("apiGroup") == Some(&json!("")) => {
                subject.remove("apiGroup");
            }
            _ => {}
        }
    }
}

fn network_policy(fields: &mut Fields) {
    let spec = object::child(fields, "spec");
    let types = if spec.contains_key("egress") {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    set_default(spec, "policyTypes", types);
}

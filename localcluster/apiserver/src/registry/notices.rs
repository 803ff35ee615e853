//! Warnings about objects that are accepted, but do nothing in this cluster.

use serde_json::Value;

use super::Kind;
use crate::object;
use crate::schema::{cel, structural};

const SELECTABLE: &str =
    "selectableFields are stored, but objects cannot be selected by them on this server";

/// Warnings for an object that is about to be stored, in place of `old` if there is one.
pub(crate) fn notices(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut notices = general(kind, object);
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        if versions(object).any(|version| !version["selectableFields"].is_null()) {
            notices.push(SELECTABLE.to_owned());
        }
        let known = old.map(unrecognized_formats).unwrap_or_default();
        notices.extend(
            unrecognized_formats(object)
                .into_iter()
                .filter(|format| !known.contains(format))
                .map(|format| format!("unrecognized format \"{format}\"")),
        );
        notices.extend(skipped_rules(object));
    }
    notices
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    let versions = definition["spec"]["versions"].as_array();
    versions.into_iter().flatten()
}

/// The formats in a definition that the server does not check.
fn unrecognized_formats(definition: &Value) -> Vec<String> {
    let mut formats: Vec<String> = versions(definition)
        .flat_map(|version| structural::unrecognized_formats(&version["schema"]["openAPIV3Schema"]))
        .collect();
    formats.sort();
    formats.dedup();
    formats
}

fn general(kind: &Kind, object: &Value) -> Vec<String> {
    let text: &str = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "services") => match object::text(object, "/spec/type") {
            "NodePort" => {
                "spec.type: localcluster opens no node ports; the service is reached by its name"
            }
            "LoadBalancer" => {
                "spec.type: localcluster has no load balancer; the service is reached by its name"
            }
            _ => return Vec::new(),
        },
        ("apps", "statefulsets" | "daemonsets") | ("batch", "jobs") => {
            return vec![format!(
                "localcluster has no controller for {}: the object is stored, and no pods are made for it",
                kind.plural
            )];
        }
        ("autoscaling", "horizontalpodautoscalers") => {
            "localcluster has no autoscaler: the object is stored, and nothing is scaled by it"
        }
        ("networking.k8s.io", "networkpolicies") => {
            "localcluster does not enforce network policies"
        }
        ("networking.k8s.io", "ingresses") => {
            "localcluster does not serve Ingress objects; use a Gateway and a VirtualService"
        }
        ("policy", "poddisruptionbudgets") => {
            "localcluster evicts no pods, so that budgets do nothing"
        }
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

/// The validation rules of a definition that this server does not evaluate, each with the reason.
pub(crate) fn skipped_rules(definition: &Value) -> Vec<String> {
    let skipped = versions(definition)
        .enumerate()
        .flat_map(|(index, version)| {
            let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
            cel::report(&version["schema"]["openAPIV3Schema"], &path).skipped
        });
    skipped.collect()
}

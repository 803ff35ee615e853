//! What is accepted but does not happen in this cluster. Clients are told so by warnings.

use serde_json::Value;

use super::Kind;
use crate::object;
use crate::schema::cel;

/// Warnings for an object that is about to be stored.
pub(crate) fn notices(kind: &Kind, object: &Value) -> Vec<String> {
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
        ("apiextensions.k8s.io", "customresourcedefinitions") => return skipped_rules(object),
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

/// The validation rules of a definition that this server does not evaluate, each with the reason.
pub(crate) fn skipped_rules(definition: &Value) -> Vec<String> {
    let versions = definition["spec"]["versions"].as_array();
    let versions = versions.into_iter().flatten().enumerate();
    let skipped = versions.flat_map(|(index, version)| {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        cel::report(&version["schema"]["openAPIV3Schema"], &path).skipped
    });
    skipped.collect()
}

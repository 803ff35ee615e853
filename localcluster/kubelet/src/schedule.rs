//! The scheduler of a single-node cluster: a pod fits the node or stays pending.

use std::collections::BTreeMap;

use api_failure::ApiFailure;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use localcluster_shared::events::Occurrence;
use serde_json::json;

use crate::{host::Host, node};

/// Binds `pod` to this node if it fits, otherwise reports why not. Returns `false` if a request
/// failed and must be retried.
///
/// Binding patches `spec.nodeName`, as the embedded API server has no `binding` subresource.
pub(crate) async fn bind(host: &Host, pod: &Pod) -> bool {
    let Some(spec) = pod.spec.as_ref().filter(|spec| is_ours(pod, spec)) else {
        return true;
    };
    let pods: Api<Pod> = Api::namespaced(host.client.clone(), &pod.namespace().unwrap_or_default());
    let (name, params) = (pod.name_any(), PatchParams::default());
    let node = &host.config.node_name;
    let result = if fits(spec, &node::labels(node), node) {
        let patch = json!({"metadata": {"uid": pod.uid()}, "spec": {"nodeName": node}});
        let bound = pods.patch(&name, &params, &Patch::Merge(patch)).await;
        if bound.is_ok() {
            let message = format!(
                "Successfully assigned {}/{name} to {node}",
                pod.namespace().unwrap_or_default()
            );
            host.events
                .emit(pod, None, Occurrence::normal("Scheduled", message));
        }
        bound
    } else {
        let message =
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
        if is_known_unschedulable(pod) {
            return true;
        }
        host.events
            .emit(pod, None, Occurrence::warning("FailedScheduling", message));
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": Timestamp::now().round(jiff::Unit::Second).unwrap_or_default(),
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Pending", "conditions": [condition]}});
        pods.patch_status(&name, &params, &Patch::Merge(patch))
            .await
    };
    match result.map_err(ApiFailure::from) {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => true,
        Err(failure) => {
            tracing::warn!(pod = name, %failure, "cannot bind the pod; retrying");
            false
        }
        Ok(_) => true,
    }
}

fn is_ours(pod: &Pod, spec: &PodSpec) -> bool {
    spec.node_name.as_deref().is_none_or(str::is_empty)
        && pod.metadata.deletion_timestamp.is_none()
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
        && spec
            .scheduler_name
            .as_deref()
            .is_none_or(|name| name == "default-scheduler")
}

fn is_known_unschedulable(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("Unschedulable"))
}

/// Returns whether `nodeSelector` and the required node affinity match a node. Terms are ORed, the
/// requirements of a term are ANDed.
fn fits(spec: &PodSpec, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selected
        && required.is_none_or(|required| {
            required
                .node_selector_terms
                .iter()
                .any(|term| accepts(term, labels, name))
        })
}

fn accepts(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions: Vec<_> = term.match_expressions.iter().flatten().collect();
    let fields: Vec<_> = term.match_fields.iter().flatten().collect();
    // An empty term matches nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| {
            holds(
                requirement,
                labels.get(&requirement.key).map(String::as_str),
            )
        })
        && fields.iter().all(|requirement| {
            holds(
                requirement,
                (requirement.key == "metadata.name").then_some(name),
            )
        })
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|other| other == value));
    let compare = |test: fn(&i64, &i64) -> bool| {
        let numbers = value
            .and_then(|value| value.parse().ok())
            .zip(values.first().and_then(|limit| limit.parse().ok()));
        numbers.is_some_and(|(value, limit)| test(&value, &limit))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fits_here(spec: Value) -> bool {
        let mut whole = json!({"containers": []});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        fits(
            &serde_json::from_value(whole).unwrap(),
            &node::labels("local"),
            "local",
        )
    }

    fn with_term(term: &Value) -> bool {
        fits_here(
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}),
        )
    }

    #[test]
    fn node_selectors_must_match() {
        assert!(fits_here(json!({})));
        assert!(fits_here(
            json!({"nodeSelector": {"kubernetes.io/hostname": "local"}})
        ));
        assert!(!fits_here(
            json!({"nodeSelector": {"flagger.app/scale-to-zero": "true"}})
        ));
    }

    #[test]
    fn affinity_terms_are_evaluated_as_in_kubernetes() {
        let expression = |key: &str, operator: &str, values: Value| {
            with_term(
                &json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
            )
        };
        let os = "kubernetes.io/os";
        assert!(expression(os, "In", json!(["linux", "windows"])));
        assert!(!expression(os, "NotIn", json!(["linux"])));
        assert!(expression(os, "Exists", Value::Null));
        assert!(!expression(os, "DoesNotExist", Value::Null));
        assert!(!expression("cores", "Gt", json!(["1"])));
        assert!(with_term(
            &json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["local"]}]})
        ));
        assert!(!with_term(&json!({})));
    }
}

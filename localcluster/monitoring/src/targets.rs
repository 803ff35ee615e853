//! Renders pods to targets with the labels of Prometheus' Kubernetes service discovery (role `pod`), so that existing
//! relabeling rules work unchanged.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

type Labels = BTreeMap<String, String>;

/// Renders the file with all targets: one per port of each container, and one per container without ports. Skips pods
/// that have ended or have no address yet.
pub fn render(pods: &[Arc<Pod>]) -> Value {
    let mut pods: Vec<&Arc<Pod>> = pods.iter().collect();
    pods.sort_by_key(|pod| (pod.namespace(), pod.name_any()));
    pods.into_iter()
        .flat_map(|pod| targets(pod).unwrap_or_default())
        .collect()
}

fn targets(pod: &Pod) -> Option<Vec<Value>> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    let address = status
        .pod_ip
        .as_deref()
        .filter(|address| !address.is_empty())?;
    if ["Succeeded", "Failed"].contains(&phase) {
        return None;
    }
    let common = pod_labels(pod, address, phase);
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let targets = containers.flat_map(|container| match container.ports.as_deref() {
        None | Some([]) => vec![target(address, &common, container, None)],
        Some(ports) => ports
            .iter()
            .map(|port| target(address, &common, container, Some(port)))
            .collect(),
    });
    Some(targets.collect())
}

fn target(
    address: &str,
    common: &Labels,
    container: &Container,
    port: Option<&ContainerPort>,
) -> Value {
    let mut labels = common.clone();
    let mut set = |name: &str, value: String| {
        labels.insert(format!("__meta_kubernetes_pod_container_{name}"), value);
    };
    set("name", container.name.clone());
    set("image", container.image.clone().unwrap_or_default());
    set("init", "false".into());
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    let address = match port {
        None => host,
        Some(port) => {
            set("port_name", port.name.clone().unwrap_or_default());
            set("port_number", port.container_port.to_string());
            set(
                "port_protocol",
                port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            );
            format!("{host}:{}", port.container_port)
        }
    };
    json!({ "targets": [address], "labels": labels })
}

fn pod_labels(pod: &Pod, address: &str, phase: &str) -> Labels {
    let mut labels = Labels::new();
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| {
            conditions
                .iter()
                .find(|condition| condition.type_ == "Ready")
        })
        .map_or("unknown".to_owned(), |condition| {
            condition.status.to_lowercase()
        });
    let controller = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    let host = status.and_then(|status| status.host_ip.clone());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    for (name, value) in [
        ("namespace", pod.namespace()),
        ("pod_name", pod.metadata.name.clone()),
        ("pod_ip", Some(address.to_owned())),
        ("pod_phase", Some(phase.to_owned())),
        ("pod_ready", Some(ready)),
        ("pod_uid", pod.uid()),
        ("pod_host_ip", host),
        ("pod_node_name", node),
        (
            "pod_controller_kind",
            controller.map(|owner| owner.kind.clone()),
        ),
        (
            "pod_controller_name",
            controller.map(|owner| owner.name.clone()),
        ),
    ] {
        if let Some(value) = value {
            labels.insert(format!("__meta_kubernetes_{name}"), value);
        }
    }
    for (kind, values) in [("label", pod.labels()), ("annotation", pod.annotations())] {
        for (name, value) in values {
            let name = label_name(name);
            labels.insert(
                format!("__meta_kubernetes_pod_{kind}_{name}"),
                value.clone(),
            );
            labels.insert(
                format!("__meta_kubernetes_pod_{kind}present_{name}"),
                "true".into(),
            );
        }
    }
    labels
}

/// Converts a name to a label name: as in Prometheus, invalid characters become `_`.
pub(crate) fn label_name(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

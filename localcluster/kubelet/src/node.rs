//! The Node object and its Lease.

use std::{collections::BTreeMap, time::Duration};

use api_failure::ApiFailure;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSystemInfo},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{MicroTime, Time},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use localcluster_shared::events::Occurrence;
use serde_json::json;

use crate::{Error, host::Host};

/// Namespace of node Leases.
const LEASES: &str = "kube-node-lease";
/// Duration of the Lease in seconds, and its renewal interval (the defaults of Kubernetes).
const LEASE_SECONDS: i32 = 40;
const RENEW: Duration = Duration::from_secs(10);
/// Maximum number of pods per node (the default of Kubernetes).
const MAX_PODS: u32 = 110;

/// Labels of the node `name`.
pub(crate) fn labels(name: &str) -> BTreeMap<String, String> {
    let architecture = architecture();
    [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("node-role.kubernetes.io/control-plane", ""),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The `GOARCH` name of the processor architecture, as Kubernetes uses it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Creates or updates the Node.
///
/// # Errors
/// Returns an error if the API server rejects a request.
pub(crate) async fn register(host: &Host) -> Result<Node, Error> {
    let name = &host.config.node_name;
    let nodes: Api<Node> = Api::all(host.client.clone());
    let failed = |why| Error::Register {
        node: name.clone(),
        why,
    };
    let node = Node {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels(name)),
            ..ObjectMeta::default()
        },
        ..Node::default()
    };
    match nodes
        .create(&PostParams::default(), &node)
        .await
        .map_err(ApiFailure::from)
    {
        Ok(_) => {}
        Err(failure) if failure.is_already_exists() => {
            let patch = json!({"metadata": {"labels": labels(name)}});
            nodes
                .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(ApiFailure::from)
                .map_err(failed)?;
        }
        Err(failure) => return Err(failed(failure)),
    }
    let status = Patch::Merge(json!({"status": status(host)}));
    let node = nodes
        .patch_status(name, &PatchParams::default(), &status)
        .await
        .map_err(ApiFailure::from)
        .map_err(failed)?;
    renew(host, &node).await.map_err(failed)?;
    Ok(node)
}

fn status(host: &Host) -> k8s_openapi::api::core::v1::NodeStatus {
    let name = &host.config.node_name;
    let now = Time(Timestamp::now());
    let condition = |type_: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: type_.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let capacity: BTreeMap<String, Quantity> = [
        ("cpu", cores.to_string()),
        ("memory", format!("{}Ki", memory_kib())),
        ("pods", MAX_PODS.to_string()),
    ]
    .into_iter()
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .collect();
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    k8s_openapi::api::core::v1::NodeStatus {
        addresses: Some(vec![
            NodeAddress {
                type_: "InternalIP".into(),
                address: host.config.host_ip().to_string(),
            },
            NodeAddress {
                type_: "Hostname".into(),
                address: name.clone(),
            },
        ]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(vec![
            condition(
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "memory is not monitored in this cluster",
            ),
            condition(
                "DiskPressure",
                "False",
                "KubeletHasNoDiskPressure",
                "disk space is not monitored in this cluster",
            ),
            condition(
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "process ids are not monitored in this cluster",
            ),
            condition(
                "Ready",
                "True",
                "KubeletReady",
                "kubelet is posting ready status",
            ),
        ]),
        daemon_endpoints: Some(NodeDaemonEndpoints::default()),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().into(),
            operating_system: "linux".into(),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            os_image: "host processes".into(),
            container_runtime_version: format!("localcluster://{}", env!("CARGO_PKG_VERSION")),
            kubelet_version: format!("v1.33.0+localcluster.{}", env!("CARGO_PKG_VERSION")),
            kube_proxy_version: String::new(),
            machine_id: read("/etc/machine-id"),
            ..NodeSystemInfo::default()
        }),
        ..k8s_openapi::api::core::v1::NodeStatus::default()
    }
}

fn memory_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total
        .and_then(|total| total.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Renews the node's Lease forever. The Lease is the heartbeat; the Node's status is not updated again.
pub(crate) async fn keep_lease(host: &Host, node: &Node) {
    host.events
        .emit_on(node, Occurrence::normal("Starting", "Starting kubelet."));
    loop {
        tokio::time::sleep(RENEW).await;
        if let Err(failure) = renew(host, node).await {
            tracing::warn!(node = node.name_any(), %failure, "cannot renew the node's lease");
        }
    }
}

async fn renew(host: &Host, node: &Node) -> Result<(), ApiFailure> {
    let leases: Api<Lease> = Api::namespaced(host.client.clone(), LEASES);
    let (name, now) = (node.name_any(), MicroTime(Timestamp::now()));
    let patch = json!({"spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}});
    match leases
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(ApiFailure::from)
    {
        Err(failure) if failure.is_not_found() => {}
        other => return other.map(drop),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(LEASES.into()),
            owner_references: node.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    leases.create(&PostParams::default(), &lease).await?;
    Ok(())
}

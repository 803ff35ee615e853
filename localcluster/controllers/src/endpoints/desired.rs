//! Computes the endpoints of a Service from its pods. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{
            EndpointAddress, EndpointPort as OldPort, EndpointSubset, Endpoints, ObjectReference,
            Pod, Service, ServicePort,
        },
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{
        apis::meta::v1::{ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};

use crate::availability::{is_finished, is_ready};

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Maximum number of endpoints per slice (Kubernetes: `--max-endpoints-per-slice`).
const PER_SLICE: usize = 100;

/// Ports of a Service, resolved for a pod: (name, protocol, number, application protocol).
type Ports = Vec<(Option<String>, String, i32, Option<String>)>;

/// A pod of the Service that has an address.
struct Member<'a> {
    pod: &'a Pod,
    address: &'a str,
    ready: bool,
    terminating: bool,
}

/// Computes the desired EndpointSlices of `service`. `pods` are those that its selector matches.
///
/// A pod becomes not `ready` as soon as it is being deleted, before its process is stopped. It
/// stays `serving` while its readiness probe succeeds.
pub(super) fn slices(service: &Service, pods: &[&Pod]) -> Vec<EndpointSlice> {
    let mut groups: BTreeMap<Ports, Vec<Endpoint>> = BTreeMap::new();
    let anyway = publishes_not_ready(service);
    for member in members(pods) {
        let ports = ports(service, member.pod);
        if ports.is_empty()
            && service
                .spec
                .as_ref()
                .is_some_and(|spec| spec.ports.iter().flatten().next().is_some())
        {
            // The pod has none of the Service's ports.
            continue;
        }
        groups.entry(ports).or_default().push(Endpoint {
            addresses: vec![member.address.to_owned()],
            conditions: Some(EndpointConditions {
                ready: Some(anyway || (member.ready && !member.terminating)),
                serving: Some(anyway || member.ready),
                terminating: Some(member.terminating),
            }),
            node_name: member
                .pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.clone()),
            target_ref: Some(target(member.pod)),
            ..Endpoint::default()
        });
    }
    if groups.is_empty() {
        // A Service without pods has one empty slice, so that watchers see that it has no endpoints.
        groups.insert(Vec::new(), Vec::new());
    }
    let mut slices = Vec::new();
    for (ports, endpoints) in groups {
        let mut chunks: Vec<&[Endpoint]> = endpoints.chunks(PER_SLICE).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        for (number, chunk) in chunks.into_iter().enumerate() {
            slices.push(slice(service, &ports, number, chunk));
        }
    }
    slices
}

fn slice(service: &Service, ports: &Ports, number: usize, endpoints: &[Endpoint]) -> EndpointSlice {
    let name = service.name_any();
    let mut labels = service.labels().clone();
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref())
        == Some("None")
    {
        labels.insert(HEADLESS.into(), String::new());
    }
    let owner = service.controller_owner_ref(&());
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", suffix(ports, number))),
            generate_name: Some(format!("{name}-")),
            namespace: service.namespace(),
            labels: Some(labels),
            owner_references: owner.map(|owner| {
                vec![OwnerReference {
                    block_owner_deletion: Some(true),
                    ..owner
                }]
            }),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".into(),
        endpoints: endpoints.to_vec(),
        ports: Some(
            ports
                .iter()
                .map(|(name, protocol, port, app_protocol)| EndpointPort {
                    name: Some(name.clone().unwrap_or_default()),
                    protocol: Some(protocol.clone()),
                    port: Some(*port),
                    app_protocol: app_protocol.clone(),
                })
                .collect(),
        ),
    }
}

/// Derives a stable suffix from the ports, so that a restarted controller finds its slices again.
fn suffix(ports: &Ports, number: usize) -> String {
    let digest = Sha256::digest(format!("{ports:?}/{number}"));
    digest
        .iter()
        .take(5)
        .map(|byte| char::from(b"bcdfghjklmnpqrstvwxz2456789"[usize::from(*byte) % 27]))
        .collect()
}

/// Computes the legacy Endpoints object. It omits terminating pods.
pub(super) fn endpoints(service: &Service, pods: &[&Pod]) -> Endpoints {
    let anyway = publishes_not_ready(service);
    let mut groups: BTreeMap<Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for member in members(pods).filter(|member| anyway || !member.terminating) {
        let ports = ports(service, member.pod);
        let (ready, not_ready) = groups.entry(ports).or_default();
        let address = EndpointAddress {
            ip: member.address.to_owned(),
            node_name: member
                .pod
                .spec
                .as_ref()
                .and_then(|spec| spec.node_name.clone()),
            target_ref: Some(target(member.pod)),
            hostname: None,
        };
        if anyway || member.ready {
            ready.push(address);
        } else {
            not_ready.push(address);
        }
    }
    let some = |list: Vec<EndpointAddress>| Some(list).filter(|list| !list.is_empty());
    let subsets = groups
        .into_iter()
        .map(|(ports, (ready, not_ready))| EndpointSubset {
            addresses: some(ready),
            not_ready_addresses: some(not_ready),
            ports: Some(
                ports
                    .into_iter()
                    .map(|(name, protocol, port, app_protocol)| OldPort {
                        name,
                        port,
                        protocol: Some(protocol),
                        app_protocol,
                    })
                    .collect::<Vec<_>>(),
            )
            .filter(|ports| !ports.is_empty()),
        });
    let subsets: Vec<EndpointSubset> = subsets.collect();
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.namespace(),
            labels: Some(service.labels().clone()).filter(|labels| !labels.is_empty()),
            // Unlike in Kubernetes, the object has an owner, so that it is deleted with its Service.
            owner_references: service.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        subsets: Some(subsets).filter(|subsets| !subsets.is_empty()),
    }
}

fn members<'a>(pods: &'a [&'a Pod]) -> impl Iterator<Item = Member<'a>> {
    let mut members: Vec<Member<'a>> = pods
        .iter()
        .filter(|pod| !is_finished(pod))
        .filter_map(|pod| {
            let address = pod
                .status
                .as_ref()?
                .pod_ip
                .as_deref()
                .filter(|ip| !ip.is_empty())?;
            let terminating = pod.metadata.deletion_timestamp.is_some();
            Some(Member {
                pod,
                address,
                ready: is_ready(pod),
                terminating,
            })
        })
        .collect();
    members.sort_by_key(|member| member.pod.name_any());
    members.into_iter()
}

fn publishes_not_ready(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.publish_not_ready_addresses)
        == Some(true)
}

/// Resolves the Service's ports for a pod. Named ports that the pod does not have are omitted.
fn ports(service: &Service, pod: &Pod) -> Ports {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            let number = number(port, &protocol, pod)?;
            Some((
                port.name.clone(),
                protocol,
                number,
                port.app_protocol.clone(),
            ))
        })
        .collect()
}

fn number(port: &ServicePort, protocol: &str, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => Some(port.port),
        Some(IntOrString::String(name)) => pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .flat_map(|container| container.ports.iter().flatten())
            .find(|port| {
                port.name.as_ref() == Some(name)
                    && port.protocol.as_deref().unwrap_or("TCP") == protocol
            })
            .map(|port| port.container_port),
    }
}

fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        namespace: pod.namespace(),
        uid: pod.uid(),
        ..ObjectReference::default()
    }
}

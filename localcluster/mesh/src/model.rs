//! The mesh as plain data: which Services exist, which pods are behind them, and which objects say
//! how to reach them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice},
};
use kube::ResourceExt;

use crate::{
    gateway_api::{self, GatewayClass, HTTPRoute},
    istio::{DestinationRule, Gateway, VirtualService},
    problem::ObjectId,
};

/// DNS suffix of Services.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Label on an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Workload of a Service that has never had a pod.
pub const UNKNOWN_WORKLOAD: &str = "unknown";

/// Everything the configuration of Envoy is made from, as it was at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All Services.
    pub services: Vec<Arc<Service>>,
    /// All EndpointSlices.
    pub slices: Vec<Arc<EndpointSlice>>,
    /// All pods.
    pub pods: Vec<Arc<Pod>>,
    /// All `VirtualService`s.
    pub virtual_services: Vec<Arc<VirtualService>>,
    /// All `DestinationRule`s.
    pub destination_rules: Vec<Arc<DestinationRule>>,
    /// All `Gateway`s of Istio.
    pub gateways: Vec<Arc<Gateway>>,
    /// All `HTTPRoute`s.
    pub http_routes: Vec<Arc<HTTPRoute>>,
    /// All `Gateway`s of the Gateway API.
    pub api_gateways: Vec<Arc<gateway_api::Gateway>>,
    /// All `GatewayClass`es.
    pub gateway_classes: Vec<Arc<GatewayClass>>,
    /// All namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// What was learnt from earlier snapshots.
    pub memory: Memory,
}

/// What one rendering leaves to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// By uid, the last version of each object with routes that Envoy accepted.
    pub last_good: BTreeMap<String, RouteObject>,
    /// Versions that Envoy refused, with its words.
    pub rejected: BTreeMap<ObjectId, String>,
}

/// An object with routes.
#[derive(Clone, Debug)]
pub enum RouteObject {
    /// Of Istio.
    VirtualService(Arc<VirtualService>),
    /// Of the Gateway API.
    HttpRoute(Arc<HTTPRoute>),
}

impl RouteObject {
    /// Which object, in which generation.
    pub fn id(&self) -> ObjectId {
        match self {
            Self::VirtualService(object) => ObjectId::of(&**object),
            Self::HttpRoute(object) => ObjectId::of(&**object),
        }
    }
}

/// Name and namespace of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ServiceName {
    /// The Service that `host` means in an object of `namespace`: `name`, `name.ns`, `name.ns.svc` or
    /// `name.ns.svc.cluster.local`. `None` for any other form.
    pub fn parse(host: &str, namespace: &str) -> Option<Self> {
        let mut labels = host.split('.');
        let name = labels.next()?;
        let namespace = labels.next().unwrap_or(namespace);
        let rest: Vec<&str> = labels.collect();
        let fits = matches!(rest[..], [] | ["svc"] | ["svc", "cluster", "local"]);
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        (fits && is_label(name) && is_label(namespace)).then(|| Self {
            namespace: namespace.to_ascii_lowercase(),
            name: name.to_ascii_lowercase(),
        })
    }

    /// The names a client may use for it. The bare name belongs to namespace `default`: one proxy
    /// serves all pods and cannot tell from which namespace a request comes.
    pub fn domains(&self) -> Vec<String> {
        let Self { namespace, name } = self;
        let bare = (namespace == "default").then(|| name.clone());
        bare.into_iter()
            .chain([
                format!("{name}.{namespace}"),
                format!("{name}.{namespace}.svc"),
                self.fqdn(),
            ])
            .collect()
    }

    /// `name.ns.svc.cluster.local`.
    pub fn fqdn(&self) -> String {
        format!("{}.{}.svc.{CLUSTER_DOMAIN}", self.name, self.namespace)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; may be empty.
    pub name: String,
    /// Number clients use.
    pub number: u16,
    /// Speaks HTTP/2 without TLS, by its `appProtocol` or the beginning of its name.
    pub http2: bool,
    /// Where ready pods listen.
    pub endpoints: BTreeSet<Endpoint>,
}

/// A place where a ready pod listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// IP address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Labels of the pod; empty for an endpoint that is no pod.
    pub labels: Arc<BTreeMap<String, String>>,
}

/// A Service as the mesh sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshService {
    /// Cluster IPs.
    pub addresses: Vec<String>,
    /// TCP ports in the order of the object.
    pub ports: Vec<Port>,
    /// Deployment behind it, [`UNKNOWN_WORKLOAD`] while none of its pods is ready: a request that is
    /// refused for want of a pod never reached a workload, so it must not count against one. (Istio
    /// reports it from the source only.) A load test that goes on while a canary is scaled to zero
    /// would otherwise spoil the success rate of the next release.
    pub workload: String,
}

impl MeshService {
    /// The port meant by a URL without one: 80, HTTP's own, or else the first.
    pub fn default_port(&self) -> Option<&Port> {
        self.port(80).or(self.ports.first())
    }

    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }
}

/// All Services by name.
pub type Services = BTreeMap<ServiceName, MeshService>;

/// Join Services with their slices and pods.
pub fn services(snapshot: &Snapshot) -> Services {
    let pods: BTreeMap<(String, String), &Pod> = snapshot
        .pods
        .iter()
        .map(|pod| ((namespace(&**pod), pod.name_any()), &**pod))
        .collect();
    let mut slices: BTreeMap<ServiceName, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in &snapshot.slices {
        if let Some(name) = slice.labels().get(SERVICE_LABEL) {
            let name = ServiceName {
                namespace: namespace(&**slice),
                name: name.clone(),
            };
            slices.entry(name).or_default().push(slice);
        }
    }
    snapshot
        .services
        .iter()
        .map(|service| {
            let name = ServiceName {
                namespace: namespace(&**service),
                name: service.name_any(),
            };
            let behind = slices.get(&name).map_or(&[][..], Vec::as_slice);
            let workload = workload(behind, &pods).unwrap_or_else(|| UNKNOWN_WORKLOAD.into());
            let service = MeshService {
                addresses: addresses(service),
                ports: ports(service, behind, &pods),
                workload,
            };
            (name, service)
        })
        .collect()
}

fn namespace(object: &impl ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

fn addresses(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let one = spec.and_then(|spec| spec.cluster_ip.clone());
    let all = spec.and_then(|spec| spec.cluster_ips.clone());
    let mut addresses = all.unwrap_or_else(|| one.into_iter().collect());
    addresses.retain(|address| address.parse::<std::net::IpAddr>().is_ok());
    addresses
}

type Pods<'a> = BTreeMap<(String, String), &'a Pod>;

fn ports(service: &Service, slices: &[&EndpointSlice], pods: &Pods<'_>) -> Vec<Port> {
    let ports = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .filter_map(|port| {
            let name = port.name.as_deref().unwrap_or_default();
            let protocol = port.app_protocol.as_deref().unwrap_or(name);
            Some(Port {
                name: name.to_owned(),
                number: u16::try_from(port.port).ok().filter(|number| *number > 0)?,
                http2: ["http2", "grpc", "h2c", "kubernetes.io/h2c"]
                    .iter()
                    .any(|http2| protocol == *http2 || protocol.starts_with(&format!("{http2}-"))),
                endpoints: endpoints(name, slices, pods),
            })
        })
        .collect()
}

/// Ready endpoints of the Service port called `port`.
fn endpoints(port: &str, slices: &[&EndpointSlice], pods: &Pods<'_>) -> BTreeSet<Endpoint> {
    let mut found = BTreeSet::new();
    for slice in slices {
        let number = slice
            .ports
            .iter()
            .flatten()
            .find(|candidate| candidate.name.as_deref().unwrap_or_default() == port)
            .and_then(|port| u16::try_from(port.port?).ok());
        let Some(number) = number.filter(|_| slice.address_type != "FQDN") else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let pod = pod_of(endpoint, slice, pods);
            if !takes_requests(endpoint, pod) {
                continue;
            }
            let labels = Arc::new(pod.map(|pod| pod.labels().clone()).unwrap_or_default());
            found.extend(endpoint.addresses.iter().map(|address| Endpoint {
                address: address.clone(),
                port: number,
                labels: labels.clone(),
            }));
        }
    }
    found
}

fn pod_of<'a>(endpoint: &SliceEndpoint, slice: &EndpointSlice, pods: &Pods<'a>) -> Option<&'a Pod> {
    let target = endpoint.target_ref.as_ref()?;
    let namespace = target.namespace.clone().or(slice.namespace())?;
    pods.get(&(namespace, target.name.clone()?)).copied()
}

/// Ready, and not about to stop.
fn takes_requests(endpoint: &SliceEndpoint, pod: Option<&Pod>) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    // A pod that is being deleted is told to stop at this moment; the slice says so a little later.
    let deleted = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false) && !deleted
}

/// The workload most ready pods behind the slices belong to. Ties go to the first name.
fn workload(slices: &[&EndpointSlice], pods: &Pods<'_>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for slice in slices {
        for endpoint in &slice.endpoints {
            let pod = pod_of(endpoint, slice, pods);
            if let Some(pod) = pod.filter(|pod| takes_requests(endpoint, Some(pod))) {
                *counts.entry(owner(pod)).or_default() += 1;
            }
        }
    }
    let most = counts.values().copied().max()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(name, _)| name)
}

/// Deployment of a pod: its ReplicaSet's name without the hash; or else its owner; or else itself.
fn owner(pod: &Pod) -> String {
    let Some(owner) = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))
    else {
        return pod.name_any();
    };
    let hash = pod.labels().get("pod-template-hash");
    let deployment = hash
        .filter(|_| owner.kind == "ReplicaSet")
        .and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    deployment.unwrap_or(&owner.name).to_owned()
}

//! The mesh as plain data: Services, the pods behind them, and the objects that route requests to them.

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

/// All objects that Envoy's configuration is made from, at one point in time.
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
    /// State kept from earlier snapshots.
    pub memory: Memory,
}

/// State that one rendering passes to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The last version of each route object that Envoy accepted, by uid.
    pub last_good: BTreeMap<String, RouteObject>,
    /// The versions that Envoy rejected, with its message.
    pub rejected: BTreeMap<ObjectId, String>,
}

/// An object with routes.
#[derive(Clone, Debug)]
pub enum RouteObject {
    /// Istio's.
    VirtualService(Arc<VirtualService>),
    /// The Gateway API's.
    HttpRoute(Arc<HTTPRoute>),
}

impl RouteObject {
    /// Identifies the object and its generation.
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
    /// Parses the name of a Service as it appears in an object of `namespace`: `name`, `name.ns`, `name.ns.svc` or
    /// `name.ns.svc.cluster.local`. Returns `None` for any other form.
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

    /// The names a client may use for the Service. The bare name is reserved for namespace `default`: one proxy
    /// serves all pods and does not know from which namespace a request comes.
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
    /// Its name. May be empty.
    pub name: String,
    /// The number that clients use.
    pub number: u16,
    /// True for HTTP/2 without TLS, according to the `appProtocol` or the prefix of the name.
    pub http2: bool,
    /// The endpoints of ready pods.
    pub endpoints: BTreeSet<Endpoint>,
}

/// An address and port on which a ready pod listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// IP address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Labels of the pod. Empty for an endpoint that is not a pod.
    pub labels: Arc<BTreeMap<String, String>>,
}

/// A Service, joined with its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshService {
    /// Cluster IPs.
    pub addresses: Vec<String>,
    /// TCP ports in the order of the object.
    pub ports: Vec<Port>,
    /// The Deployment behind the Service, or [`UNKNOWN_WORKLOAD`] while none of its pods is ready. A request that
    /// fails for lack of a pod never reached a workload, so it must not count against one. (Istio reports it only
    /// from the source.) Otherwise a load test that continues while a canary is scaled to zero would lower the
    /// success rate of the next release.
    pub workload: String,
}

impl MeshService {
    /// The port for a URL without one: 80 if the Service has it, otherwise the first.
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

/// Joins Services with their EndpointSlices and pods.
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

/// True if the endpoint is ready and not terminating.
fn takes_requests(endpoint: &SliceEndpoint, pod: Option<&Pod>) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    // The kubelet stops a deleted pod at once; the EndpointSlice is updated a little later.
    let deleted = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false) && !deleted
}

/// The workload with the most ready pods in `slices`. On a tie the first name wins.
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

/// The workload of a pod: its ReplicaSet's name without the hash, otherwise its owner, otherwise the pod itself.
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

//! Renders a [`Snapshot`] to Envoy's resources. Pure: no clock, no files, no network.

mod attach;
mod bootstrap;
mod claims;
mod clusters;
mod gateways;
mod hosts;
mod inputs;
mod parents;
mod routes;
mod status;
mod verdict;
mod waypoints;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    compile,
    model::{self, RouteObject, ServiceName, Snapshot},
    problem::{ObjectId, Problem, Reason, Report},
};

pub use bootstrap::bootstrap;
pub(crate) use parents::CLASSES;
pub use status::{ListenerState, Status};
pub use verdict::Verdict;

/// Name of the forward proxy's route configuration and prefix of its statistics.
pub const OUTBOUND: &str = "outbound";
/// Name of the ingress's route configuration and prefix of its statistics.
pub const INGRESS: &str = "ingress";

/// The inputs that do not come from Kubernetes objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the resource files.
    pub folder: PathBuf,
    /// Address of the proxy for pods.
    pub proxy: SocketAddr,
    /// Address of Envoy's admin interface.
    pub admin: SocketAddr,
    /// Address of the ingress; `None` for no ingress.
    pub ingress: Option<SocketAddr>,
    /// The Service that gets the ingress requests for unclaimed hosts.
    pub ingress_default: Option<ServiceName>,
}

/// Envoy's resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// `ClusterLoadAssignment`s by file name.
    pub endpoints: BTreeMap<String, Value>,
    /// `Cluster`s by name.
    pub clusters: BTreeMap<String, Value>,
    /// `RouteConfiguration`s by name.
    pub routes: BTreeMap<&'static str, Value>,
}

/// The output of [`render`].
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Envoy's resources.
    pub resources: Resources,
    /// The problems of all objects.
    pub problems: BTreeSet<Problem>,
    /// The version of each route object that is in use, by uid.
    pub used: BTreeMap<String, RouteObject>,
    /// The statuses of Gateway API objects.
    pub statuses: BTreeMap<ObjectId, Status>,
}

/// Renders `snapshot`.
pub fn render(snapshot: &Snapshot, settings: &Settings) -> Rendered {
    let services = model::services(snapshot);
    let mut problems = BTreeSet::new();
    report_services(&snapshot.services, &mut problems);
    let policies = clusters::policies(snapshot, &services, &mut problems);
    let mut used = BTreeMap::new();
    let compiled = Compiler {
        snapshot,
        check: compile::compile,
        wrap: RouteObject::VirtualService,
        earlier: |object| match object {
            RouteObject::VirtualService(object) => Some(object),
            RouteObject::HttpRoute(_) => None,
        },
    }
    .compile(&snapshot.virtual_services, &mut used, &mut problems);
    let http_routes = Compiler {
        snapshot,
        check: compile::compile_http_route,
        wrap: RouteObject::HttpRoute,
        earlier: |object| match object {
            RouteObject::HttpRoute(object) => Some(object),
            RouteObject::VirtualService(_) => None,
        },
    }
    .compile(&snapshot.http_routes, &mut used, &mut problems);
    let gateways = gateways::read(&snapshot.gateways, &mut problems);
    let parents = parents::read(snapshot, &mut problems);
    let lookup = attach::Lookup {
        services: &services,
        parents: &parents,
        namespaces: &snapshot.namespaces,
    };
    let attached = attach::attach(&http_routes, lookup, &mut problems);
    let hosts = inputs::Hosts {
        services: &services,
        policies: &policies,
        compiled: &compiled,
        attached: &attached,
        gateways: &gateways,
        settings,
    };
    let routes = hosts.render(&mut problems);
    let statuses = status::Sources {
        snapshot,
        settings,
        compiled: &http_routes,
        attached: &attached,
        lookup,
        resolver: hosts.resolver(),
        problems: &problems,
    }
    .statuses();
    let waypoints = waypoints::users(snapshot, &parents, &mut problems);
    let (clusters, endpoints) = clusters::render(&services, &policies, &waypoints, settings);
    Rendered {
        resources: Resources {
            endpoints,
            clusters,
            routes,
        },
        problems,
        used,
        statuses,
    }
}

/// Compiles objects of type `K`.
struct Compiler<'a, K, C> {
    snapshot: &'a Snapshot,
    check: fn(&K) -> (Option<C>, Vec<Problem>),
    wrap: fn(Arc<K>) -> RouteObject,
    earlier: fn(&RouteObject) -> Option<&Arc<K>>,
}

impl<K: kube::Resource<DynamicType = ()>, C> Compiler<'_, K, C> {
    /// Compiles the newest version of each object that is neither invalid nor rejected by Envoy. The oldest object
    /// comes first.
    fn compile(
        &self,
        objects: &[Arc<K>],
        used: &mut BTreeMap<String, RouteObject>,
        problems: &mut BTreeSet<Problem>,
    ) -> Vec<C> {
        let memory = &self.snapshot.memory;
        let mut objects: Vec<&Arc<K>> = objects.iter().collect();
        objects.sort_by_key(|object| age_key(&***object));
        let mut compiled = Vec::new();
        for object in objects {
            let id = ObjectId::of(&**object);
            let (mut newest, found) = (self.check)(object);
            problems.extend(found);
            if let Some(reason) = memory.rejected.get(&id) {
                let mut report = Report::new(id.clone());
                let message = format!("Envoy rejected the object: {reason}");
                report.note(Reason::Rejected, "spec", message);
                problems.extend(report.into_problems());
                newest = None;
            }
            let mut version = object;
            if newest.is_none()
                && let Some(last_good) = memory.last_good.get(&id.uid).and_then(self.earlier)
            {
                version = last_good;
                newest = (self.check)(last_good).0;
            }
            if let Some(newest) = newest {
                used.insert(id.uid, (self.wrap)(version.clone()));
                compiled.push(newest);
            }
        }
        compiled
    }
}

/// Sort key for the oldest object first. Objects of the same age are sorted by name.
fn age_key<K: kube::Resource>(object: &K) -> (Option<jiff::Timestamp>, String, String) {
    (
        object.creation_timestamp().map(|time| time.0),
        object.namespace().unwrap_or_default(),
        object.name_any(),
    )
}

fn report_services(services: &[Arc<Service>], problems: &mut BTreeSet<Problem>) {
    for service in services {
        let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        if kind == Some("ExternalName") {
            let mut report = Report::new(ObjectId::of(&**service));
            let message = "this mesh reaches only pods; call the external name directly";
            report.unsupported("spec.externalName", message);
            problems.extend(report.into_problems());
        }
    }
}

/// The content of a file: Envoy's `DiscoveryResponse` with `resources` and their type.
pub(crate) fn discovery_response(
    version: &str,
    type_name: &str,
    resources: impl IntoIterator<Item = Value>,
) -> Value {
    let resources: Vec<Value> = resources
        .into_iter()
        .map(|mut resource| {
            resource["@type"] = json!(format!("type.googleapis.com/{type_name}"));
            resource
        })
        .collect();
    json!({ "version_info": version, "resources": resources })
}

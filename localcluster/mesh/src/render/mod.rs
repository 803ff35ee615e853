//! From a [`Snapshot`] to the resources Envoy reads. Pure: no clock, no files, no network.

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

/// Route configuration of the outbound proxy; also its statistics prefix.
pub const OUTBOUND: &str = "outbound";
/// Route configuration of the ingress; also its statistics prefix.
pub const INGRESS: &str = "ingress";

/// What does not come from Kubernetes objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the resource files are.
    pub folder: PathBuf,
    /// Address of the proxy for pods.
    pub proxy: SocketAddr,
    /// Address of Envoy's admin interface.
    pub admin: SocketAddr,
    /// Address of the ingress; `None` for no ingress.
    pub ingress: Option<SocketAddr>,
    /// Service that answers at the ingress for every host nobody else claims.
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

/// A rendering and what was learnt on the way.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// What Envoy is to read.
    pub resources: Resources,
    /// What is wrong with which objects.
    pub problems: BTreeSet<Problem>,
    /// The version used of each object with routes, by uid.
    pub used: BTreeMap<String, RouteObject>,
    /// What the Gateway API's objects are to be told about themselves.
    pub statuses: BTreeMap<ObjectId, Status>,
}

/// Render `snapshot`.
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

/// How objects of type `K` are checked.
struct Compiler<'a, K, C> {
    snapshot: &'a Snapshot,
    check: fn(&K) -> (Option<C>, Vec<Problem>),
    wrap: fn(Arc<K>) -> RouteObject,
    earlier: fn(&RouteObject) -> Option<&Arc<K>>,
}

impl<K: kube::Resource<DynamicType = ()>, C> Compiler<'_, K, C> {
    /// The newest version of each object that is neither wrong nor refused; oldest object first.
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
            if let Some(words) = memory.rejected.get(&id) {
                let mut report = Report::new(id.clone());
                let message = format!("Envoy refused it: {words}");
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

/// Sorts the oldest object first; the name decides between twins.
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
            let message = "this mesh reaches pods only; call the external name directly";
            report.unsupported("spec.externalName", message);
            problems.extend(report.into_problems());
        }
    }
}

/// A file's content: the resources with their type, as Envoy's `DiscoveryResponse`.
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

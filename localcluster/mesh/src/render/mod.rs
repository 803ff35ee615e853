//! From a [`Snapshot`] to the resources Envoy reads. Pure: no clock, no files, no network.

mod bootstrap;
mod clusters;
mod gateways;
mod hosts;
mod routes;

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
    compile::{self, Routes},
    istio::VirtualService,
    model::{self, ServiceName, Snapshot},
    problem::{ObjectId, Problem, Reason, Report},
};

pub use bootstrap::bootstrap;

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
    /// The version used of each `VirtualService`, by uid.
    pub used: BTreeMap<String, Arc<VirtualService>>,
}

/// Render `snapshot`.
pub fn render(snapshot: &Snapshot, settings: &Settings) -> Rendered {
    let services = model::services(snapshot);
    let mut problems = BTreeSet::new();
    report_services(&snapshot.services, &mut problems);
    let policies = clusters::policies(snapshot, &services, &mut problems);
    let (compiled, used) = compile_all(snapshot, &mut problems);
    let gateways = gateways::read(&snapshot.gateways, &mut problems);
    let hosts = hosts::Hosts {
        services: &services,
        policies: &policies,
        compiled: &compiled,
        gateways: &gateways,
        settings,
    };
    let routes = hosts.render(&mut problems);
    let (clusters, endpoints) = clusters::render(&services, &policies, settings);
    Rendered {
        resources: Resources {
            endpoints,
            clusters,
            routes,
        },
        problems,
        used,
    }
}

/// Compile the newest version of each object that is neither wrong nor refused; oldest object first.
fn compile_all(
    snapshot: &Snapshot,
    problems: &mut BTreeSet<Problem>,
) -> (Vec<Routes>, BTreeMap<String, Arc<VirtualService>>) {
    let mut objects: Vec<&Arc<VirtualService>> = snapshot.virtual_services.iter().collect();
    objects.sort_by_key(|object| age_key(&***object));
    let mut compiled = Vec::new();
    let mut used = BTreeMap::new();
    for object in objects {
        let id = ObjectId::of(&**object);
        let rejected = snapshot.memory.rejected.get(&id);
        let (mut routes, found) = compile::compile(object);
        problems.extend(found);
        if let Some(words) = rejected {
            let mut report = Report::new(id.clone());
            report.note(
                Reason::Rejected,
                "spec",
                format!("Envoy refused it: {words}"),
            );
            problems.extend(report.into_problems());
            routes = None;
        }
        let mut version = object;
        if routes.is_none()
            && let Some(last_good) = snapshot.memory.last_good.get(&id.uid)
        {
            version = last_good;
            routes = compile::compile(last_good).0;
        }
        if let Some(routes) = routes {
            used.insert(id.uid, version.clone());
            compiled.push(routes);
        }
    }
    (compiled, used)
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

//! Checks a `VirtualService` or an `HTTPRoute` once and turns its routes into parts of Envoy's.
//!
//! What comes out needs no further checks: rendering it for a port or a gateway cannot fail. A
//! mistake makes the whole object invalid, as an admission check would; a part that is merely not
//! possible here is left out and reported.

mod actions;
mod headers;
mod http_route;
mod matches;
mod policies;

use kube::ResourceExt;
use serde_json::{Map, Value};

use crate::{
    istio::{Destination, HttpRoute, VirtualService},
    problem::{ObjectId, Problem, Report},
};

pub use http_route::{HttpRoutes, Precedence, Ranked, compile as compile_http_route};
pub use matches::check_regex;
pub use policies::default_retries;

/// Name in `gateways` for requests between pods.
pub const MESH: &str = "mesh";

/// A checked `VirtualService`.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// The object.
    pub object: ObjectId,
    /// When it was made: the older of two objects that claim a host has it.
    pub created: Option<jiff::Timestamp>,
    /// Hosts as written, in lower case.
    pub hosts: Vec<String>,
    /// `mesh` and `namespace/name` of gateways.
    pub gateways: Vec<String>,
    /// Routes in order.
    pub routes: Vec<Route>,
}

/// A checked HTTP route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The object it is from.
    pub object: ObjectId,
    /// Path of the route in the object.
    pub field: String,
    /// Conditions, one of which must hold.
    pub matches: Vec<Match>,
    /// What to do.
    pub action: Action,
    /// Further fields of Envoy's `Route`: header changes and settings of filters.
    pub extras: Map<String, Value>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// `mesh` and `namespace/name` of gateways this is limited to; empty for all of the object.
    pub gateways: Vec<String>,
    /// Port of the Service or gateway this is limited to.
    pub port: Option<u16>,
    /// Envoy's `RouteMatch`.
    pub condition: Map<String, Value>,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send the request on.
    Forward(Box<Forward>),
    /// Envoy's `RedirectAction`.
    Redirect(Value),
    /// Envoy's `DirectResponseAction`.
    Answer(Value),
}

/// Where to send requests and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// At least one; their weights do not sum to 0.
    pub destinations: Vec<Share>,
    /// Copies to send.
    pub mirrors: Vec<Copy>,
    /// Further fields of Envoy's `RouteAction`: timeout, rewrites, retries asked for.
    pub options: Map<String, Value>,
    /// The object says nothing about retries.
    pub default_retries: bool,
    /// Longest time for each try of the default retries.
    pub per_try_timeout: Option<String>,
}

/// A destination and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Path of the destination in the object.
    pub field: String,
    /// Where to.
    pub destination: Destination,
    /// Why nothing is sent there, whatever exists.
    pub refused: Option<Refusal>,
    /// Weight relative to the others.
    pub weight: u32,
    /// Header changes for this destination.
    pub headers: Map<String, Value>,
    /// Host header for this destination.
    pub authority: Option<String>,
}

/// A mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Path of the mirror in the object.
    pub field: String,
    /// Where to.
    pub destination: Destination,
    /// Why nothing is sent there, whatever exists.
    pub refused: Option<Refusal>,
    /// Envoy's `RuntimeFractionalPercent`.
    pub fraction: Value,
}

/// Why a reference to a Service is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In one word, as a reason of the Gateway API.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Check `object`. `None` when it is invalid; the problems say why.
pub fn compile(object: &VirtualService) -> (Option<Routes>, Vec<Problem>) {
    let id = ObjectId::of(object);
    let mut report = Report::new(id.clone());
    let spec = &object.spec;
    let mut hosts = Vec::new();
    for (index, host) in spec.hosts.iter().enumerate() {
        if is_host(host) {
            hosts.push(host.to_ascii_lowercase());
        } else {
            let field = format!("spec.hosts[{index}]");
            report.invalid(
                field,
                format!("{host:?} is no host name; write a DNS name, * or *.domain"),
            );
        }
    }
    if spec.hosts.is_empty() {
        report.unsupported(
            "spec.hosts",
            "no host: routes that another VirtualService delegates to are not supported; name a host",
        );
    }
    for (field, part) in [("spec.tcp", &spec.tcp), ("spec.tls", &spec.tls)] {
        if !part.is_empty() {
            report.unsupported(
                field,
                "this mesh carries HTTP only; the routes are left out",
            );
        }
    }
    check_export_to(&spec.export_to, &mut report);
    let routes = spec
        .http
        .iter()
        .enumerate()
        .filter_map(|(index, route)| {
            compile_route(route, &format!("spec.http[{index}]"), &id, &mut report)
        })
        .collect();
    let gateways = match &spec.gateways[..] {
        [] => vec![MESH.to_owned()],
        names => gateway_names(names, &id.namespace),
    };
    let valid = !report.is_invalid();
    let routes = Routes {
        object: id,
        created: object.creation_timestamp().map(|time| time.0),
        hosts,
        gateways,
        routes,
    };
    (valid.then_some(routes), report.into_problems())
}

/// `name` means a gateway of the same namespace, `namespace/name` any.
fn gateway_names(names: &[String], namespace: &str) -> Vec<String> {
    names
        .iter()
        .map(|name| match name.as_str() {
            MESH => name.clone(),
            name if name.contains('/') => name.to_owned(),
            name => format!("{namespace}/{name}"),
        })
        .collect()
}

pub(crate) fn check_export_to(export_to: &[String], report: &mut Report) {
    if export_to.iter().any(|namespace| namespace != "*") {
        report.unsupported(
            "spec.exportTo",
            "one proxy serves all namespaces, so the object is visible in all of them",
        );
    }
}

/// A DNS name, `*`, or `*.` and a DNS name.
pub(crate) fn is_host(host: &str) -> bool {
    if host == "*" {
        return true;
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn compile_route(
    route: &HttpRoute,
    field: &str,
    object: &ObjectId,
    report: &mut Report,
) -> Option<Route> {
    if route.delegate.is_some() {
        report.unsupported(
            format!("{field}.delegate"),
            "delegation is not supported, the route is left out; write the routes here",
        );
        return None;
    }
    let matches = matches::compile(&route.r#match, field, &object.namespace, report);
    let mut extras = Map::new();
    policies::filters(route, field, report, &mut extras);
    let action = actions::compile(route, field, report, &mut extras)?;
    (!matches.is_empty()).then(|| Route {
        object: object.clone(),
        field: field.to_owned(),
        matches,
        action,
        extras,
    })
}

//! Validates a `VirtualService` or an `HTTPRoute` once and compiles its routes to parts of Envoy's.
//!
//! The result needs no further checks: rendering it for a port or a gateway cannot fail. A mistake makes the whole
//! object invalid, as in an admission check. A part that is only unsupported here is ignored and reported.

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

/// The reserved gateway name for requests between pods.
pub const MESH: &str = "mesh";

/// A compiled `VirtualService`.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    /// The object.
    pub object: ObjectId,
    /// Its creation time. Of two objects that claim a host the older one wins.
    pub created: Option<jiff::Timestamp>,
    /// Hosts in lower case, otherwise as written.
    pub hosts: Vec<String>,
    /// `mesh`, or `namespace/name` of a gateway.
    pub gateways: Vec<String>,
    /// Routes in order.
    pub routes: Vec<Route>,
}

/// A compiled HTTP route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The object that defines it.
    pub object: ObjectId,
    /// Path of the route in the object.
    pub field: String,
    /// The route applies to a request that meets any of these.
    pub matches: Vec<Match>,
    /// The action for a matching request.
    pub action: Action,
    /// Further fields of Envoy's `Route`: header changes and settings of filters.
    pub extras: Map<String, Value>,
}

/// Conditions that a request must all meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Gateways (`mesh` or `namespace/name`) that the match is limited to. Empty for all gateways of the object.
    pub gateways: Vec<String>,
    /// Port of the Service or gateway that the match is limited to.
    pub port: Option<u16>,
    /// Envoy's `RouteMatch`.
    pub condition: Map<String, Value>,
}

/// The action of a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Forwards the request.
    Forward(Box<Forward>),
    /// Envoy's `RedirectAction`.
    Redirect(Value),
    /// Envoy's `DirectResponseAction`.
    Respond(Value),
}

/// Destinations of requests and the policies that apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// At least one. The sum of the weights is not 0.
    pub destinations: Vec<Share>,
    /// Mirrors.
    pub mirrors: Vec<Copy>,
    /// Further fields of Envoy's `RouteAction`: timeout, rewrites, explicit retries.
    pub options: Map<String, Value>,
    /// True if the object does not configure retries.
    pub default_retries: bool,
    /// Timeout of each attempt of the default retries.
    pub per_try_timeout: Option<String>,
}

/// A destination and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Path of the destination in the object.
    pub field: String,
    /// The Service.
    pub destination: Destination,
    /// The reason why no requests are sent there even if the Service exists.
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
    /// The Service.
    pub destination: Destination,
    /// The reason why no requests are sent there even if the Service exists.
    pub refused: Option<Refusal>,
    /// Envoy's `RuntimeFractionalPercent`.
    pub fraction: Value,
}

/// The reason why a reference to a Service is not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A condition reason of the Gateway API.
    pub reason: &'static str,
    /// Message for people.
    pub message: String,
}

/// Compiles `object`. Returns `None` if it is invalid; the problems state the reason.
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
                format!("{host:?} is not a host name; write a DNS name, * or *.domain"),
            );
        }
    }
    if spec.hosts.is_empty() {
        report.unsupported(
            "spec.hosts",
            "a VirtualService without hosts is only useful as a delegate, and delegation is not supported; add a host",
        );
    }
    for (field, part) in [("spec.tcp", &spec.tcp), ("spec.tls", &spec.tls)] {
        if !part.is_empty() {
            report.unsupported(
                field,
                "this mesh supports only HTTP; the routes are ignored",
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

/// Qualifies gateway names: `name` is a gateway in `namespace`, `namespace/name` a gateway in any namespace.
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

/// True for a DNS name, `*`, or `*.` followed by a DNS name.
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
            "delegation is not supported, the route is ignored; move the delegate's routes here",
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

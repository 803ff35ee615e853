//! The routes of a virtual host.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::clusters::{Policies, cluster_name};
use crate::{
    compile::{Action, Forward, Match, Refusal, Route, Share, default_retries},
    istio::Destination,
    model::{ServiceName, Services},
    problem::{Problem, Reason, Report},
};

/// Safe methods (RFC 9110 section 9.2.1), whose requests can be repeated without harm.
const SAFE_METHODS: &str = "GET|HEAD|OPTIONS|TRACE";

/// The requests that routes are rendered for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// `mesh`, or the gateways (`namespace/name`) that admit the host.
    pub(super) gateways: Vec<String>,
    /// Ports that the request may have been sent to.
    pub(super) ports: Vec<u16>,
}

/// Resolves destinations to clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver<'a> {
    pub(super) services: &'a Services,
    pub(super) policies: &'a Policies,
}

impl Resolver<'_> {
    /// Returns the name of the cluster for `destination`. `ports` are the ports that the request may have been sent
    /// to.
    ///
    /// # Errors
    /// The destination does not resolve. The error is a name that belongs to no cluster, and the reason.
    pub(super) fn resolve(
        &self,
        destination: &Destination,
        namespace: &str,
        ports: &[u16],
    ) -> Result<String, (String, String)> {
        let host = &destination.host;
        let Some(name) = ServiceName::parse(host, namespace) else {
            let why =
                format!("{host} is not a Service of this cluster; other hosts are not reachable");
            return Err((format!("outbound|0||{host}"), why));
        };
        let number = destination
            .port
            .as_ref()
            .and_then(|port| u16::try_from(port.number).ok());
        let unresolved = |why| Err((cluster_name(&name, number.unwrap_or(0), None), why));
        let Some(service) = self.services.get(&name) else {
            return unresolved(format!("Service {name} does not exist"));
        };
        let port = match (number, &service.ports[..]) {
            (Some(number), _) => service.port(number),
            (None, [only]) => Some(only),
            (None, _) => ports.iter().find_map(|port| service.port(*port)),
        };
        let Some(port) = port else {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| port.number.to_string())
                .collect();
            let ports = ports.join(", ");
            return unresolved(match number {
                Some(number) => format!("Service {name} has no port {number}; it has {ports}"),
                None => format!("Service {name} has several ports ({ports}); name one of them"),
            });
        };
        if let Some(subset) = &destination.subset
            && !self.policies.has_subset(&name, subset)
        {
            return unresolved(format!(
                "no DestinationRule for {name} has a subset {subset:?}"
            ));
        }
        Ok(cluster_name(
            &name,
            port.number,
            destination.subset.as_deref(),
        ))
    }
}

/// Routes that send all requests to `cluster`, for a Service that no object routes.
pub(super) fn plain(cluster: &str) -> Vec<Value> {
    let route = json!({
        "match": { "prefix": "/" },
        "route": { "timeout": "0s", "cluster": cluster },
    });
    with_default_retries(&route, None)
}

/// Renders those of `routes` that apply in `scope`.
pub(super) fn render(
    routes: &[Route],
    scope: &Scope,
    resolver: Resolver<'_>,
    problems: &mut BTreeSet<Problem>,
) -> Vec<Value> {
    let mut rendered = Vec::new();
    for route in routes {
        let mut report = Report::new(route.object.clone());
        let (action, forward) = match &route.action {
            Action::Redirect(to) => (("redirect", to.clone()), None),
            Action::Respond(response) => (("direct_response", response.clone()), None),
            Action::Forward(forward) => {
                let namespace = &route.object.namespace;
                let envoy = route_action(forward, namespace, scope, resolver, &mut report);
                (("route", envoy), Some(forward))
            }
        };
        problems.extend(report.into_problems());
        for condition in route
            .matches
            .iter()
            .filter(|condition| applies(condition, scope))
        {
            let envoy = envoy_route(route, condition, &action);
            match forward.filter(|forward| forward.default_retries) {
                Some(forward) => {
                    let each = forward.per_try_timeout.as_deref();
                    rendered.extend(with_default_retries(&envoy, each));
                }
                None => rendered.push(envoy),
            }
        }
    }
    rendered
}

fn applies(condition: &Match, scope: &Scope) -> bool {
    let gateway = condition.gateways.is_empty()
        || condition
            .gateways
            .iter()
            .any(|name| scope.gateways.contains(name));
    gateway
        && condition
            .port
            .is_none_or(|port| scope.ports.contains(&port))
}

fn envoy_route(route: &Route, condition: &Match, (kind, action): &(&str, Value)) -> Value {
    let mut envoy = route.extras.clone();
    let object = &route.object.name;
    envoy.insert("name".into(), json!(format!("{object} {}", route.field)));
    envoy.insert("match".into(), condition.condition.clone().into());
    envoy.insert((*kind).into(), action.clone());
    envoy.into()
}

/// Adds the default retries to a route. Envoy cannot choose a retry condition by method within one route, so this
/// returns one route for safe methods, followed by one for all others.
fn with_default_retries(route: &Value, per_try_timeout: Option<&str>) -> Vec<Value> {
    let mut safe = route.clone();
    let method =
        json!({ "name": ":method", "string_match": { "safe_regex": { "regex": SAFE_METHODS } } });
    match safe["match"]
        .get_mut("headers")
        .and_then(Value::as_array_mut)
    {
        Some(headers) => headers.push(method),
        None => safe["match"]["headers"] = json!([method]),
    }
    safe["route"]["retry_policy"] = default_retries(true);
    let mut other = route.clone();
    other["route"]["retry_policy"] = default_retries(false);
    let mut both = vec![safe, other];
    if let Some(time) = per_try_timeout {
        for route in &mut both {
            route["route"]["retry_policy"]["per_try_timeout"] = json!(time);
        }
    }
    both
}

fn route_action(
    forward: &Forward,
    namespace: &str,
    scope: &Scope,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Value {
    let mut cluster = |destination: &Destination, refused: Option<&Refusal>, field: &str| {
        if refused.is_some() {
            // This was reported when the object was compiled.
            return Err(format!("refused|0||{}", destination.host));
        }
        resolver
            .resolve(destination, namespace, &scope.ports)
            .map_err(|(cluster, why)| {
                report.note(Reason::Unresolved, field, why);
                cluster
            })
    };
    let mut action = forward.options.clone();
    match &forward.destinations[..] {
        [only] => {
            let cluster = cluster(&only.destination, only.refused.as_ref(), &only.field);
            let cluster = cluster.unwrap_or_else(|missing| missing);
            action.insert("cluster".into(), json!(cluster));
        }
        several => {
            let clusters: Vec<Value> = several
                .iter()
                .map(|share| {
                    // A missing destination keeps its weight, and Envoy responds to those requests with an error.
                    // Sending them elsewhere would hide the mistake.
                    let name = cluster(&share.destination, share.refused.as_ref(), &share.field);
                    weighted(share, &name.unwrap_or_else(|missing| missing))
                })
                .collect();
            action.insert("weighted_clusters".into(), json!({ "clusters": clusters }));
        }
    }
    let mirrors: Vec<Value> = forward
        .mirrors
        .iter()
        .filter_map(|copy| {
            let name = cluster(&copy.destination, copy.refused.as_ref(), &copy.field).ok()?;
            Some(json!({ "cluster": name, "runtime_fraction": copy.fraction }))
        })
        .collect();
    if !mirrors.is_empty() {
        action.insert("request_mirror_policies".into(), mirrors.into());
    }
    action.into()
}

fn weighted(share: &Share, cluster: &str) -> Value {
    let mut envoy = share.headers.clone();
    envoy.insert("name".into(), json!(cluster));
    envoy.insert("weight".into(), json!(share.weight));
    if let Some(authority) = &share.authority {
        envoy.insert("host_rewrite_literal".into(), json!(authority));
    }
    envoy.into()
}

//! Routes of one virtual host.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::clusters::{Policies, cluster_name};
use crate::{
    compile::{Action, Forward, Match, Route, Routes, Share, default_retries},
    istio::Destination,
    model::{ServiceName, Services},
    problem::{Problem, Reason, Report},
};

/// Safe methods (RFC 9110 section 9.2.1): repeating such a request does no harm.
const SAFE_METHODS: &str = "GET|HEAD|OPTIONS|TRACE";

/// For whom routes are rendered.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// `mesh`, or the gateways (`namespace/name`) that let the host in.
    pub(super) gateways: Vec<String>,
    /// Ports the request may have been sent to.
    pub(super) ports: Vec<u16>,
}

/// Resolves destinations to clusters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver<'a> {
    pub(super) services: &'a Services,
    pub(super) policies: &'a Policies,
}

impl Resolver<'_> {
    /// Name of the cluster for `destination`; a name without a cluster, and why, when there is none.
    fn resolve(
        &self,
        destination: &Destination,
        namespace: &str,
        scope: &Scope,
    ) -> Result<String, (String, String)> {
        let host = &destination.host;
        let Some(name) = ServiceName::parse(host, namespace) else {
            let why =
                format!("{host} is no Service of this cluster, and other hosts are not reachable");
            return Err((format!("outbound|0||{host}"), why));
        };
        let asked = destination
            .port
            .as_ref()
            .and_then(|port| u16::try_from(port.number).ok());
        let nowhere = |why| Err((cluster_name(&name, asked.unwrap_or(0), None), why));
        let Some(service) = self.services.get(&name) else {
            return nowhere(format!("there is no Service {name}"));
        };
        let port = match (asked, &service.ports[..]) {
            (Some(asked), _) => service.port(asked),
            (None, [only]) => Some(only),
            (None, _) => scope.ports.iter().find_map(|port| service.port(*port)),
        };
        let Some(port) = port else {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| port.number.to_string())
                .collect();
            let ports = ports.join(", ");
            return nowhere(match asked {
                Some(asked) => format!("Service {name} has no port {asked}; it has {ports}"),
                None => format!("Service {name} has several ports ({ports}); name one of them"),
            });
        };
        if let Some(subset) = &destination.subset
            && !self.policies.has_subset(&name, subset)
        {
            return nowhere(format!(
                "no DestinationRule of {name} has a subset {subset:?}"
            ));
        }
        Ok(cluster_name(
            &name,
            port.number,
            destination.subset.as_deref(),
        ))
    }
}

/// Routes that send everything to `cluster`, for a Service without a `VirtualService`.
pub(super) fn plain(cluster: &str) -> Vec<Value> {
    let action = Forward {
        destinations: Vec::new(),
        mirrors: Vec::new(),
        options: Map::from_iter([("timeout".to_owned(), json!("0s"))]),
        default_retries: true,
    };
    let condition = Map::from_iter([("prefix".to_owned(), json!("/"))]);
    let mut options = action.options;
    options.insert("cluster".into(), json!(cluster));
    with_retries(&json!({ "match": condition, "route": options }), true)
}

/// Routes of `routes` that apply in `scope`.
pub(super) fn render(
    routes: &Routes,
    scope: &Scope,
    resolver: Resolver<'_>,
    problems: &mut BTreeSet<Problem>,
) -> Vec<Value> {
    let mut report = Report::new(routes.object.clone());
    let mut rendered = Vec::new();
    for route in &routes.routes {
        let (action, default_retries) = match &route.action {
            Action::Redirect(to) => (("redirect", to.clone()), false),
            Action::Answer(answer) => (("direct_response", answer.clone()), false),
            Action::Forward(forward) => {
                let namespace = &routes.object.namespace;
                let envoy = route_action(forward, namespace, scope, resolver, &mut report);
                (("route", envoy), forward.default_retries)
            }
        };
        for condition in route
            .matches
            .iter()
            .filter(|condition| applies(condition, scope))
        {
            let envoy = envoy_route(&routes.object.name, route, condition, &action);
            rendered.extend(with_retries(&envoy, default_retries));
        }
    }
    problems.extend(report.into_problems());
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

fn envoy_route(
    object: &str,
    route: &Route,
    condition: &Match,
    (kind, action): &(&str, Value),
) -> Value {
    let mut envoy = route.extras.clone();
    envoy.insert("name".into(), json!(format!("{object} {}", route.field)));
    envoy.insert("match".into(), condition.condition.clone().into());
    envoy.insert((*kind).into(), action.clone());
    envoy.into()
}

/// Give a route the default retries: one route for safe methods, then one for the others, because
/// Envoy cannot choose a retry condition by method inside one route.
fn with_retries(route: &Value, default: bool) -> Vec<Value> {
    if !default {
        return vec![route.clone()];
    }
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
    vec![safe, other]
}

fn route_action(
    forward: &Forward,
    namespace: &str,
    scope: &Scope,
    resolver: Resolver<'_>,
    report: &mut Report,
) -> Value {
    let mut cluster = |destination: &Destination, field: &str| {
        resolver
            .resolve(destination, namespace, scope)
            .map_err(|(cluster, why)| {
                report.note(Reason::Unresolved, field, why);
                cluster
            })
    };
    let mut action = forward.options.clone();
    match &forward.destinations[..] {
        [only] => {
            let cluster = cluster(&only.destination, &only.field).unwrap_or_else(|missing| missing);
            action.insert("cluster".into(), json!(cluster));
        }
        several => {
            let clusters: Vec<Value> = several
                .iter()
                .map(|share| {
                    // A missing one keeps its share, which Envoy answers with 503: sending it
                    // elsewhere would hide the mistake.
                    let name =
                        cluster(&share.destination, &share.field).unwrap_or_else(|missing| missing);
                    weighted(share, &name)
                })
                .collect();
            action.insert("weighted_clusters".into(), json!({ "clusters": clusters }));
        }
    }
    let mirrors: Vec<Value> = forward
        .mirrors
        .iter()
        .filter_map(|copy| {
            let name = cluster(&copy.destination, &copy.field).ok()?;
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

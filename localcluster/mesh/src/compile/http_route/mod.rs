//! Validates an `HTTPRoute` and compiles its rules to parts of Envoy's routes.
//!
//! Routes of several objects are merged into one order, so each carries its [`Precedence`].

mod backends;
mod filters;
mod matches;
mod modifier;

use kube::ResourceExt;
use localcluster_shared::duration;
use serde_json::{Map, json};

use super::{Action, Forward, Match, Route, actions};

use crate::{
    gateway_api::{HTTPRoute, HttpRouteRule, ParentReference, Timeouts},
    problem::{ObjectId, Problem, Report},
};

pub use matches::Precedence;

/// A compiled `HTTPRoute`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoutes {
    /// The object.
    pub object: ObjectId,
    /// Its creation time.
    pub created: Option<jiff::Timestamp>,
    /// The parents that it attaches to.
    pub parents: Vec<ParentReference>,
    /// Host names in lower case. Empty for all hosts.
    pub hostnames: Vec<String>,
    /// One route per match, in the order of the object.
    pub routes: Vec<Ranked>,
}

/// A route with its precedence.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The smallest one is tried first.
    pub precedence: Precedence,
    /// The route.
    pub route: Route,
}

/// Compiles `object`. Returns `None` if it is invalid; the problems state the reason.
pub fn compile(object: &HTTPRoute) -> (Option<HttpRoutes>, Vec<Problem>) {
    let id = ObjectId::of(object);
    let mut report = Report::new(id.clone());
    let spec = &object.spec;
    let mut hostnames = Vec::new();
    for (index, host) in spec.hostnames.iter().enumerate() {
        if host != "*" && super::is_host(host) {
            hostnames.push(host.to_ascii_lowercase());
        } else {
            let message = format!("{host:?} is not a host name; write a DNS name or *.domain");
            report.invalid(format!("spec.hostnames[{index}]"), message);
        }
    }
    let rules = spec.rules.iter().enumerate();
    let routes = rules
        .flat_map(|(index, rule)| {
            compile_rule(rule, &format!("spec.rules[{index}]"), &id, &mut report)
        })
        .collect();
    let valid = !report.is_invalid();
    let routes = HttpRoutes {
        created: object.creation_timestamp().map(|time| time.0),
        parents: spec.parent_refs.clone(),
        hostnames,
        routes,
        object: id,
    };
    (valid.then_some(routes), report.into_problems())
}

fn compile_rule(
    rule: &HttpRouteRule,
    field: &str,
    object: &ObjectId,
    report: &mut Report,
) -> Vec<Ranked> {
    let conditions = matches::compile(&rule.matches, field, report);
    let mut extras = Map::new();
    let Some(action) = compile_action(rule, field, object, report, &mut extras) else {
        return Vec::new();
    };
    let ranked = conditions
        .into_iter()
        .map(|(precedence, condition)| Ranked {
            precedence,
            route: Route {
                object: object.clone(),
                field: field.to_owned(),
                matches: vec![Match {
                    gateways: Vec::new(),
                    port: None,
                    condition,
                }],
                action: action.clone(),
                extras: extras.clone(),
            },
        });
    ranked.collect()
}

fn compile_action(
    rule: &HttpRouteRule,
    field: &str,
    object: &ObjectId,
    report: &mut Report,
    extras: &mut Map<String, serde_json::Value>,
) -> Option<Action> {
    let filters = filters::compile(rule, field, &object.namespace, report, extras);
    let mut destinations = backends::compile(rule, field, &object.namespace, report);
    let mut options = filters.options;
    let per_try_timeout = timeouts(rule.timeouts.as_ref(), field, report, &mut options);
    if let Some(redirect) = filters.redirect {
        if !destinations.is_empty() {
            let message = "a rule that redirects cannot forward; remove backendRefs";
            report.invalid(format!("{field}.backendRefs"), message);
        }
        return Some(Action::Redirect(redirect));
    }
    if destinations.iter().all(|share| share.weight == 0) {
        return Some(Action::Respond(json!({
            "status": 500,
            "body": { "inline_string": format!(
                "{field} of HTTPRoute {} has no backend with a weight\n", object.name
            ) },
        })));
    }
    actions::join_only(&mut destinations, extras, &mut options);
    // The response to requests for a Service that does not exist.
    options.insert(
        "cluster_not_found_response_code".into(),
        json!("INTERNAL_SERVER_ERROR"),
    );
    Some(Action::Forward(Box::new(Forward {
        destinations,
        mirrors: filters.mirrors,
        options,
        default_retries: true,
        per_try_timeout,
    })))
}

/// Adds the timeout of the request to `options`. Returns the timeout of each attempt.
fn timeouts(
    timeouts: Option<&Timeouts>,
    field: &str,
    report: &mut Report,
    options: &mut Map<String, serde_json::Value>,
) -> Option<String> {
    let mut read = |name: &str, text: Option<&String>| {
        let time = duration::parse(text?);
        time.map_err(|message| report.invalid(format!("{field}.timeouts.{name}"), message))
            .ok()
    };
    let request = read("request", timeouts.and_then(|it| it.request.as_ref()));
    let each = read(
        "backendRequest",
        timeouts.and_then(|it| it.backend_request.as_ref()),
    );
    let request = request.unwrap_or_default();
    let each = each.filter(|time| !time.is_zero());
    if each.is_some_and(|each| !request.is_zero() && each > request) {
        report.invalid(
            format!("{field}.timeouts.backendRequest"),
            "backendRequest must not be longer than timeouts.request",
        );
    }
    // In Istio a route has no timeout by default. Envoy's own default is 15 s.
    options.insert("timeout".into(), json!(duration::protobuf(request)));
    each.map(duration::protobuf)
}

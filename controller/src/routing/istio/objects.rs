//! VirtualService and DestinationRules. The weights are part of the VirtualService and are written together with any
//! repair, so that a repair never resets traffic.

use canary_engine::observed::Weights;
use serde_json::{Map, Value, json};

use crate::api::ServiceSpec;
use crate::{
    objects::{
        json::{object_at, set_or_remove},
        ownership::{self, Claim},
        services::Role,
    },
    routing::merge,
};

/// Input for building the route objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Name of the apex Service and of the VirtualService.
    pub(super) service_name: &'a str,
    /// Namespace of the Canary.
    pub(super) namespace: &'a str,
    /// `spec.service`.
    pub(super) spec: &'a ServiceSpec,
    /// Owner reference to the Canary.
    pub(super) owner: &'a Value,
}

impl Wanted<'_> {
    /// Builds the desired DestinationRule from the existing one.
    #[must_use]
    pub(super) fn destination_rule(&self, role: Role, existing: Option<&Value>) -> Value {
        let name = role.name(self.service_name);
        let mut rule = existing.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "networking.istio.io/v1beta1",
                "kind": "DestinationRule",
                "metadata": {
                    "name": name, "namespace": self.namespace, "ownerReferences": [self.owner],
                },
            })
        });
        let spec = object_at(&mut rule, &["spec"]);
        spec.insert("host".to_owned(), json!(name));
        set_or_remove(spec, "trafficPolicy", self.spec.traffic_policy.clone());
        rule
    }

    /// Builds the desired VirtualService from the existing one. Unknown fields and routes are kept.
    #[must_use]
    pub(super) fn virtual_service(&self, existing: Option<&Value>, weights: Weights) -> Value {
        let mut service = existing.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "networking.istio.io/v1beta1",
                "kind": "VirtualService",
                "metadata": {
                    "name": self.service_name, "namespace": self.namespace,
                    "ownerReferences": [self.owner],
                },
            })
        });
        let adopted = existing.filter(|one| self::weights(self.service_name, one).is_none());
        merge::describe(&mut service, self.spec.apex.as_ref(), adopted);

        let spec = object_at(&mut service, &["spec"]);
        let delegation = self.spec.delegation == Some(true);
        set_or_remove(spec, "hosts", (!delegation).then(|| json!(self.hosts())));
        set_or_remove(
            spec,
            "gateways",
            (!delegation).then(|| json!(self.gateways())),
        );
        let (list, other) = if self.is_tcp() {
            ("tcp", "http")
        } else {
            ("http", "tcp")
        };
        let routes = spec.remove(list);
        spec.insert(list.to_owned(), Value::Array(self.routes(routes, weights)));
        let foreign = spec.remove(other).map(|routes| self.foreign_routes(routes));
        set_or_remove(
            spec,
            other,
            foreign
                .filter(|routes| !routes.is_empty())
                .map(Value::Array),
        );
        service
    }

    /// The claim on a VirtualService without an owner: ours if it equals the generated one, regardless of weights. An
    /// adopted one never does, because an annotation holds its original spec.
    #[must_use]
    pub(super) fn claim_service(&self, existing: &Value) -> Claim {
        let generated =
            weights(self.service_name, existing).map(|weights| self.virtual_service(None, weights));
        match generated {
            Some(generated) if merge::is_generated(&generated, existing) => Claim::Ours,
            _ => Claim::Users,
        }
    }

    /// The claim on a DestinationRule without an owner: ours if it sets only the fields of a generated one.
    #[must_use]
    pub(super) fn claim_rule(&self, role: Role, existing: &Value) -> Claim {
        if let Some(tool) = ownership::applied_with(existing) {
            return Claim::Foreign(format!("it was applied with {tool}"));
        }
        let (name, host) = (role.name(self.service_name), &existing["spec"]["host"]);
        if *host != name.as_str() {
            return Claim::Foreign(format!("its host is {host}, not \"{name}\""));
        }
        let mut fields = existing["spec"].as_object().into_iter().flatten();
        match fields.find(|(field, _)| !["host", "trafficPolicy"].contains(&field.as_str())) {
            Some((field, _)) => Claim::Foreign(format!(
                "it sets spec.{field}, which generated DestinationRules do not"
            )),
            None => Claim::Ours,
        }
    }

    /// The routes, including this canary's.
    fn routes(&self, existing: Option<Value>, weights: Weights) -> Vec<Value> {
        let existing = match existing {
            Some(Value::Array(routes)) => routes,
            _ => Vec::new(),
        };
        let own = existing
            .iter()
            .find(|route| goes_to_canary(self.service_name, self.namespace, route));
        let route = self.route(own, weights);
        merge::place(existing, route, |one| self.is_ours(one), matches_all)
    }

    fn foreign_routes(&self, routes: Value) -> Vec<Value> {
        match routes {
            Value::Array(routes) => routes
                .into_iter()
                .filter(|route| !self.is_ours(route))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Returns whether a route is this canary's, or one to the apex Service, which the canary's replaces.
    fn is_ours(&self, route: &Value) -> bool {
        let mut hosts = destinations(route).peekable();
        hosts.peek().is_some()
            && hosts.all(|host| {
                [Role::Apex, Role::Primary, Role::Canary]
                    .iter()
                    .any(|role| is_host(host, &role.name(self.service_name), self.namespace))
            })
    }

    /// Builds the canary's route from the existing one.
    fn route(&self, existing: Option<&Value>, weights: Weights) -> Value {
        let mut route = match existing {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        let spec = self.spec;
        if self.is_tcp() {
            let ports = spec.match_.as_ref().map(|matches| {
                Value::Array(
                    matches
                        .iter()
                        .map(|one| json!({ "port": one["port"] }))
                        .collect(),
                )
            });
            set_or_remove(&mut route, "match", ports);
        } else {
            let rewrite = spec.rewrite.as_ref().map(|rewrite| {
                let mut fields = Map::new();
                set_or_remove(&mut fields, "uri", rewrite.uri.clone().map(Value::from));
                set_or_remove(
                    &mut fields,
                    "authority",
                    rewrite.authority.clone().map(Value::from),
                );
                Value::Object(fields)
            });
            set_or_remove(&mut route, "match", spec.match_.clone().map(Value::Array));
            set_or_remove(&mut route, "rewrite", rewrite);
            set_or_remove(&mut route, "timeout", spec.timeout.clone().map(Value::from));
            set_or_remove(
                &mut route,
                "retries",
                spec.retries.as_ref().map(|retries| json!(retries)),
            );
            set_or_remove(&mut route, "corsPolicy", spec.cors_policy.clone());
            set_or_remove(
                &mut route,
                "headers",
                spec.headers.as_ref().map(|headers| json!(headers)),
            );
        }
        let destination = |role: Role, weight: u8| {
            let mut destination = json!({ "host": role.name(self.service_name) });
            if self.needs_port() {
                destination["port"] = json!({ "number": spec.port });
            }
            json!({ "destination": destination, "weight": weight })
        };
        let split = json!([
            destination(Role::Primary, weights.primary),
            destination(Role::Canary, weights.canary),
        ]);
        route.insert("route".to_owned(), split);
        Value::Object(route)
    }

    fn is_tcp(&self) -> bool {
        self.spec
            .app_protocol
            .as_deref()
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
    }

    /// Flagger: the name of the Service is added unless the list contains it or `*`.
    fn hosts(&self) -> Vec<String> {
        let mut hosts = self.spec.hosts.clone().unwrap_or_default();
        if !hosts
            .iter()
            .any(|host| host == self.service_name || host == "*")
        {
            hosts.push(self.service_name.to_owned());
        }
        hosts
    }

    fn gateways(&self) -> Vec<String> {
        match &self.spec.gateways {
            Some(gateways) if !gateways.is_empty() => gateways.clone(),
            _ => vec!["mesh".to_owned()],
        }
    }

    /// Whether destinations need a port. Flagger: only if the Service can have several ports and Istio cannot infer the
    /// right one.
    fn needs_port(&self) -> bool {
        let behind_gateway = self
            .gateways()
            .first()
            .is_some_and(|gateway| gateway != "mesh");
        self.spec.port_discovery == Some(true)
            && (behind_gateway || self.spec.delegation == Some(true))
    }
}

/// The weights of a VirtualService: those of its last route to `<service>-canary`. Weights that do not add up to 100
/// are scaled.
#[must_use]
pub(super) fn weights(service_name: &str, virtual_service: &Value) -> Option<Weights> {
    let spec = &virtual_service["spec"];
    let namespace = virtual_service["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or_default();
    let mut all = ["http", "tcp"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    let route = all.rfind(|route| goes_to_canary(service_name, namespace, route))?;
    let sum_of = |role: Role| -> u64 {
        let name = role.name(service_name);
        let split = route["route"].as_array().into_iter().flatten();
        split
            .filter(|one| {
                one["destination"]["host"]
                    .as_str()
                    .is_some_and(|host| is_host(host, &name, namespace))
            })
            .map(|one| one["weight"].as_u64().unwrap_or(0))
            .sum()
    };
    Some(merge::percent(sum_of(Role::Primary), sum_of(Role::Canary)))
}

fn goes_to_canary(service_name: &str, namespace: &str, route: &Value) -> bool {
    let canary = Role::Canary.name(service_name);
    destinations(route).any(|host| is_host(host, &canary, namespace))
}

fn matches_all(route: &Value) -> bool {
    route["match"].as_array().is_none_or(Vec::is_empty)
}

fn destinations(route: &Value) -> impl Iterator<Item = &str> {
    let split = route["route"].as_array().into_iter().flatten();
    split.filter_map(|one| one["destination"]["host"].as_str())
}

/// Whether `host` is the Service `name` in the namespace: `name`, `name.namespace` or `name.namespace.svc` with any
/// cluster domain. Other hosts can have the same prefix, such as `app.example.com` or `app.other.svc.cluster.local`.
fn is_host(host: &str, name: &str, namespace: &str) -> bool {
    let mut labels = host.split('.');
    let is_named = labels.next() == Some(name);
    let is_inside = match (labels.next(), labels.next()) {
        (None, _) => true,
        (Some(of), None | Some("svc")) => of == namespace,
        _ => false,
    };
    is_named && is_inside
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Weights = Weights {
        primary: 100,
        canary: 0,
    };

    fn with_wanted<R>(spec: &Value, f: impl FnOnce(Wanted) -> R) -> R {
        let spec: ServiceSpec = serde_json::from_value(spec.clone()).unwrap();
        let owner = json!({ "uid": "u1", "kind": "Canary", "name": "app" });
        f(Wanted {
            service_name: "app",
            namespace: "ns",
            spec: &spec,
            owner: &owner,
        })
    }

    fn rich() -> Value {
        json!({
            "port": 80, "hosts": ["shop.example.com"], "gateways": ["istio-system/public", "mesh"],
            "portDiscovery": true, "timeout": "5s",
            "match": [{ "uri": { "prefix": "/" } }], "rewrite": { "uri": "/v1", "type": "x" },
            "retries": { "attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx" },
            "headers": { "request": { "add": { "x-some": "value" } } },
            "corsPolicy": { "allowOrigin": ["example.com"] },
            "trafficPolicy": { "tls": { "mode": "ISTIO_MUTUAL" } },
            "apex": { "labels": { "l": "1" }, "annotations": { "a": "1" } } })
    }

    #[test]
    fn the_virtual_service_of_a_plain_canary() {
        let service = with_wanted(&json!({ "port": 80 }), |w| w.virtual_service(None, START));
        insta::assert_yaml_snapshot!(service);
    }

    #[test]
    fn the_virtual_service_and_rules_of_a_rich_canary() {
        let objects = with_wanted(&rich(), |w| {
            [
                w.virtual_service(
                    None,
                    Weights {
                        primary: 70,
                        canary: 30,
                    },
                ),
                w.destination_rule(Role::Canary, None),
                w.destination_rule(Role::Primary, None),
            ]
        });
        insta::assert_yaml_snapshot!(objects);
    }

    #[test]
    fn tcp_and_delegation() {
        let spec = json!({ "port": 80, "appProtocol": "TCP", "delegation": true, "portDiscovery": true,
            "match": [{ "port": 80, "uri": { "exact": "/" } }] });
        let service = with_wanted(&spec, |w| w.virtual_service(None, START));
        insta::assert_yaml_snapshot!(service["spec"]);
    }

    #[test]
    fn hosts_that_only_share_a_prefix_with_the_service_do_not_match() {
        for host in ["app", "app.ns", "app.ns.svc", "app.ns.svc.cluster.local"] {
            assert!(is_host(host, "app", "ns"), "{host}");
        }
        for host in [
            "app.other",
            "app.other.svc.cluster.local",
            "app.example.com",
            "app.ns.example.com",
            "apps",
        ] {
            assert!(!is_host(host, "app", "ns"), "{host}");
        }
    }

    #[test]
    fn a_repair_keeps_the_weights_and_is_idempotent() {
        let weights = Weights {
            primary: 80,
            canary: 20,
        };
        with_wanted(&rich(), |w| {
            let mut live = w.virtual_service(None, weights);
            live["spec"]["http"][0]["timeout"] = json!("9s");
            let repaired = w.virtual_service(Some(&live), super::weights("app", &live).unwrap());
            assert_eq!(super::weights("app", &repaired), Some(weights));
            assert_eq!(repaired["spec"]["http"][0]["timeout"], "5s");
            assert_eq!(w.virtual_service(Some(&repaired), weights), repaired);
        });
    }

    #[test]
    fn adoption_replaces_the_route_to_the_service_and_keeps_the_rest() {
        let existing = json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
            "metadata": { "name": "app", "resourceVersion": "4", "labels": { "mine": "1" } },
            "spec": { "hosts": ["old"], "exportTo": ["."], "http": [
                { "name": "static", "match": [{ "uri": { "prefix": "/static" } }],
                  "route": [{ "destination": { "host": "files" } }] },
                { "route": [{ "destination": { "host": "app.ns.svc.cluster.local" } }] } ] } });
        let adopted = with_wanted(&json!({ "port": 80 }), |w| {
            w.virtual_service(Some(&existing), START)
        });
        insta::assert_yaml_snapshot!(adopted);
        let again = with_wanted(&json!({ "port": 80 }), |w| {
            w.virtual_service(Some(&adopted), START)
        });
        assert_eq!(again, adopted);
    }

    #[test]
    fn the_service_is_not_added_to_a_wildcard_host() {
        let spec = json!({ "port": 80, "hosts": ["*"], "gateways": ["g"] });
        let service = with_wanted(&spec, |w| w.virtual_service(None, START));
        assert_eq!(service["spec"]["hosts"], json!(["*"]));
    }

    #[test]
    fn unknown_fields_of_the_route_survive() {
        with_wanted(&json!({ "port": 80 }), |w| {
            let mut live = w.virtual_service(None, START);
            live["spec"]["http"][0]["fault"] = json!({ "delay": { "fixedDelay": "1s" } });
            let repaired = w.virtual_service(Some(&live), START);
            assert_eq!(repaired, live);
        });
    }

    #[test]
    fn there_are_no_weights_without_a_route_to_the_canary() {
        assert_eq!(weights("app", &json!({ "spec": { "http": [] } })), None);
        let zero = json!({ "spec": { "http": [{ "route": [
            { "destination": { "host": "app-primary" } }, { "destination": { "host": "app-canary" } } ] }] } });
        assert_eq!(weights("app", &zero), Some(START));
    }
}

//! Properties of the configuration for arbitrary `VirtualService`s and `HTTPRoute`s.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use localcluster_mesh::render::{Resources, render};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use support::{scenario, settings};

/// Text that may be valid, invalid or hostile, depending on the field.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "",
            "/",
            "a",
            "(",
            "[a-z]+",
            "*",
            "*.example.com",
            "simple-app-primary",
            "nowhere",
            "simple-app.default",
            "100%",
            "%REQ(x)%",
            "../../etc",
            "5s",
            "5x",
            "-1s",
            "mesh",
            "x/y",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

fn string_match() -> impl Strategy<Value = Value> {
    (select(vec!["exact", "prefix", "regex"]), text())
        .prop_map(|(kind, text)| json!({ kind: text }))
}

fn destination() -> impl Strategy<Value = Value> {
    let host = prop_oneof![Just("simple-app-primary".to_owned()), text()];
    (
        host,
        proptest::option::of(text()),
        proptest::option::of(0_u32..70_000),
    )
        .prop_map(|(host, subset, port)| {
            let mut destination = json!({ "host": host });
            if let Some(subset) = subset {
                destination["subset"] = json!(subset);
            }
            if let Some(port) = port {
                destination["port"] = json!({ "number": port });
            }
            destination
        })
}

fn condition() -> impl Strategy<Value = Value> {
    let part = |name: &'static str| {
        let value = match name {
            "headers" | "queryParams" | "withoutHeaders" => (text(), string_match())
                .prop_map(|(name, value)| json!({ name: value }))
                .boxed(),
            "port" => (0_u32..70_000).prop_map(|port| json!(port)).boxed(),
            "gateways" => text().prop_map(|name| json!([name])).boxed(),
            "sourceNamespace" => text().prop_map(|name| json!(name)).boxed(),
            _ => string_match().boxed(),
        };
        value.prop_map(move |value| (name, value))
    };
    let names = [
        "uri",
        "method",
        "headers",
        "withoutHeaders",
        "queryParams",
        "port",
        "gateways",
        "sourceNamespace",
    ];
    proptest::collection::vec(select(names.to_vec()).prop_flat_map(part), 0..3)
        .prop_map(|parts| parts.into_iter().collect())
}

fn route() -> impl Strategy<Value = Value> {
    let share = (destination(), 0_u32..101)
        .prop_map(|(destination, weight)| json!({ "destination": destination, "weight": weight }));
    let extra = prop_oneof![
        text().prop_map(|text| ("timeout", json!(text))),
        text().prop_map(|text| ("rewrite", json!({ "uri": text }))),
        (-2..5).prop_map(|attempts| ("retries", json!({ "attempts": attempts }))),
        destination().prop_map(|to| ("mirror", to)),
        (text(), text()).prop_map(|(name, value)| (
            "headers",
            json!({ "request": { "set": { name: value } } })
        )),
        (0.0..200.0).prop_map(|share| {
            (
                "fault",
                json!({ "abort": { "httpStatus": 500, "percentage": { "value": share } } }),
            )
        }),
        (0_u32..700).prop_map(|status| ("directResponse", json!({ "status": status }))),
    ];
    (
        proptest::collection::vec(condition(), 0..3),
        proptest::collection::vec(share, 0..4),
        proptest::collection::vec(extra, 0..3),
    )
        .prop_map(|(conditions, shares, extras)| {
            let mut route = json!({ "match": conditions, "route": shares });
            for (name, value) in extras {
                route[name] = value;
            }
            route
        })
}

fn spec(host: impl Strategy<Value = String>) -> impl Strategy<Value = Value> {
    let hosts = proptest::collection::vec(host, 0..3);
    let gateways = proptest::collection::vec(text(), 0..2);
    (hosts, gateways, proptest::collection::vec(route(), 0..4)).prop_map(
        |(hosts, gateways, http)| json!({ "hosts": hosts, "gateways": gateways, "http": http }),
    )
}

/// Renders the canary scenario together with a `VirtualService` with `spec`.
fn resources(spec: Option<Value>) -> Resources {
    let mut snapshot = scenario("canary.yaml");
    snapshot.virtual_services.extend(spec.map(|spec| {
        let object = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": { "name": "odd", "namespace": "default", "uid": "odd", "generation": 1,
                          "creationTimestamp": "2030-01-01T00:00:00Z" },
            "spec": spec,
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }));
    render(&snapshot, &settings(Path::new("/envoy"))).resources
}

/// The routes of the forward proxy by domain.
fn routes_by_domain(resources: &Resources) -> BTreeMap<String, Value> {
    let hosts = resources.routes["outbound"]["virtual_hosts"]
        .as_array()
        .unwrap();
    let domains = hosts.iter().flat_map(|host| {
        let domains = host["domains"].as_array().unwrap().iter();
        domains.map(|domain| (domain.as_str().unwrap().to_owned(), host["routes"].clone()))
    });
    domains.collect()
}

proptest! {
    #[test]
    fn no_domain_is_claimed_twice(spec in spec(text())) {
        for configuration in resources(Some(spec)).routes.values() {
            let mut seen = BTreeSet::new();
            for host in configuration["virtual_hosts"].as_array().unwrap() {
                prop_assert!(!host["domains"].as_array().unwrap().is_empty());
                for domain in host["domains"].as_array().unwrap() {
                    prop_assert!(seen.insert(domain.as_str().unwrap().to_owned()), "{domain} twice");
                }
            }
        }
    }

    #[test]
    fn the_sum_of_weights_is_never_zero(spec in spec(text())) {
        for configuration in resources(Some(spec)).routes.values() {
            for host in configuration["virtual_hosts"].as_array().unwrap() {
                for route in host["routes"].as_array().unwrap() {
                    if let Some(clusters) = route["route"]["weighted_clusters"]["clusters"].as_array() {
                        prop_assert!(clusters.iter().any(|cluster| cluster["weight"] != 0));
                    }
                }
            }
        }
    }

    #[test]
    fn an_object_does_not_change_the_hosts_of_others(
        spec in spec(select(vec!["simple-app-canary", "other.example.com"]).prop_map(str::to_owned))
    ) {
        let before = resources(None);
        let after = resources(Some(spec));
        prop_assert_eq!(&before.clusters, &after.clusters);
        prop_assert_eq!(&before.endpoints, &after.endpoints);
        let (before, after) = (routes_by_domain(&before), routes_by_domain(&after));
        for (domain, routes) in before {
            if !domain.starts_with("simple-app-canary") && domain != "10.96.0.12" && domain != "10.96.0.12:80" {
                prop_assert_eq!(Some(&routes), after.get(&domain), "{}", domain);
            }
        }
    }
}

fn backend() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        select(vec!["simple-app-primary", "simple-app-canary", "nowhere"]).prop_map(str::to_owned),
        text(),
    ];
    let weight = prop_oneof![Just(0_u32), 1..100_u32, Just(1_000_000)];
    let filter = proptest::option::of(filter());
    (name, select(vec![80, 81]), weight, filter).prop_map(|(name, port, weight, filter)| {
        let filters: Vec<Value> = filter.into_iter().collect();
        json!({ "name": name, "port": port, "weight": weight, "filters": filters })
    })
}

fn value_match() -> impl Strategy<Value = Value> {
    let kind = select(vec!["Exact", "RegularExpression"]);
    (kind, text(), text())
        .prop_map(|(kind, name, value)| json!({ "type": kind, "name": name, "value": value }))
}

fn http_match() -> impl Strategy<Value = Value> {
    let kind = select(vec!["Exact", "PathPrefix", "RegularExpression"]);
    let path = prop_oneof![
        select(vec!["/", "/a", "/a/b/"]).prop_map(str::to_owned),
        text()
    ];
    let values = || proptest::collection::vec(value_match(), 0..2);
    let method = proptest::option::of(select(vec!["GET", "POST"]));
    (kind, path, values(), values(), method).prop_map(|(kind, path, headers, params, method)| {
        let path = json!({ "type": kind, "value": path });
        json!({ "path": path, "headers": headers, "queryParams": params, "method": method })
    })
}

fn filter() -> impl Strategy<Value = Value> {
    let header =
        || (text(), text()).prop_map(|(name, value)| json!([{ "name": name, "value": value }]));
    let path = prop_oneof![
        text().prop_map(|path| json!({ "type": "ReplaceFullPath", "replaceFullPath": path })),
        text().prop_map(|path| json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": path })),
    ];
    let path = path.boxed();
    prop_oneof![
        header().prop_map(|set| json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": set } })),
        header().prop_map(|add| json!({ "type": "ResponseHeaderModifier", "responseHeaderModifier": { "add": add } })),
        (text(), 0..101_u32).prop_map(|(name, percent)| json!({
            "type": "RequestMirror",
            "requestMirror": { "backendRef": { "name": name, "port": 80 }, "percent": percent },
        })),
        (path.clone(), 300..310_u16).prop_map(|(path, code)| json!({
            "type": "RequestRedirect",
            "requestRedirect": { "path": path, "statusCode": code },
        })),
        path.prop_map(|path| json!({ "type": "URLRewrite", "urlRewrite": { "path": path } })),
        text().prop_map(|origin| json!({ "type": "CORS", "cors": { "allowOrigins": [origin] } })),
        text().prop_map(|name| json!({ "type": "ExtensionRef", "extensionRef": { "group": "x", "kind": "X", "name": name } })),
        Just(json!({ "type": "URLRewrite" })),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    (
        proptest::collection::vec(http_match(), 0..3),
        proptest::collection::vec(filter(), 0..3),
        proptest::collection::vec(backend(), 0..4),
        proptest::option::of((text(), text())),
    )
        .prop_map(|(matches, filters, backends, times)| {
            let times = times.map(|(request, each)| json!({ "request": request, "backendRequest": each }));
            json!({ "matches": matches, "filters": filters, "backendRefs": backends, "timeouts": times })
        })
}

fn parent() -> impl Strategy<Value = Value> {
    let known = select(vec![
        json!({ "group": "", "kind": "Service", "name": "simple-app" }),
        json!({ "group": "", "kind": "Service", "name": "simple-app", "port": 80 }),
        json!({ "name": "simple-app" }),
        json!({ "name": "public", "namespace": "default", "sectionName": "all" }),
    ]);
    let odd = (text(), proptest::option::of(text())).prop_map(
        |(name, section)| json!({ "name": name, "sectionName": section, "namespace": "default" }),
    );
    prop_oneof![3 => known, 1 => odd]
}

fn http_route(
    host: impl Strategy<Value = String>,
    rules: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Value> {
    let parents = proptest::collection::vec(parent(), 0..3);
    let hosts = proptest::collection::vec(host, 0..3);
    (parents, hosts, proptest::collection::vec(rules, 1..4)).prop_map(
        |(parents, hosts, rules)| json!({ "parentRefs": parents, "hostnames": hosts, "rules": rules }),
    )
}

/// Renders the scenario of gateways together with an `HTTPRoute` with `spec`, which is older than all others.
fn rendered(spec: &Value) -> localcluster_mesh::render::Rendered {
    let mut snapshot = scenario("http_routes.yaml");
    let object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "odd", "namespace": "default", "uid": "odd", "generation": 1,
                      "creationTimestamp": "2020-01-01T00:00:00Z" },
        "spec": spec,
    });
    snapshot
        .http_routes
        .push(Arc::new(serde_json::from_value(object).unwrap()));
    render(&snapshot, &settings(Path::new("/envoy")))
}

proptest! {
    #[test]
    fn every_http_route_yields_a_consistent_configuration(spec in http_route(text(), rule())) {
        for configuration in rendered(&spec).resources.routes.values() {
            let mut seen = BTreeSet::new();
            for host in configuration["virtual_hosts"].as_array().unwrap() {
                for domain in host["domains"].as_array().unwrap() {
                    prop_assert!(seen.insert(domain.as_str().unwrap().to_owned()), "{} twice", domain);
                }
                prop_assert!(!host["routes"].as_array().unwrap().is_empty());
                for route in host["routes"].as_array().unwrap() {
                    let actions = ["route", "redirect", "direct_response"];
                    prop_assert_eq!(actions.iter().filter(|name| route.get(**name).is_some()).count(), 1);
                    let clusters = &route["route"]["weighted_clusters"]["clusters"];
                    if let Some(clusters) = clusters.as_array() {
                        prop_assert!(clusters.iter().any(|cluster| cluster["weight"] != 0));
                    }
                }
            }
        }
    }

    #[test]
    fn every_own_parent_of_an_http_route_gets_a_status(spec in http_route(text(), rule())) {
        let rendered = rendered(&spec);
        let (_, status) = rendered.statuses.iter().find(|(object, _)| object.uid == "odd").unwrap();
        let localcluster_mesh::render::Status::Route(parents) = status else { panic!("{status:?}") };
        let own = spec["parentRefs"].as_array().unwrap().iter().filter(|parent| {
            parent["kind"] == "Service" || ["simple-app", "public"].contains(&parent["name"].as_str().unwrap())
        });
        prop_assert_eq!(parents.len(), own.count());
        let wrong = |problem: &&localcluster_mesh::problem::Problem| {
            problem.object.uid == "odd" && problem.reason == localcluster_mesh::problem::Reason::Invalid
        };
        for (parent, verdicts) in parents {
            prop_assert_eq!(verdicts[0].kind, "Accepted");
            if rendered.problems.iter().find(wrong).is_some() {
                prop_assert_eq!(verdicts[0].status, "False", "{:?}", parent);
            }
        }
    }

    #[test]
    fn weights_are_kept(weights in proptest::collection::vec(0..1_000_001_u32, 2..8)) {
        let backends: Vec<Value> = weights
            .iter()
            .map(|weight| json!({ "name": "simple-app-primary", "port": 80, "weight": weight }))
            .collect();
        let parents = json!([{ "group": "", "kind": "Service", "name": "simple-app" }, { "name": "simple-app" }]);
        let rendered = rendered(&json!({ "parentRefs": parents, "rules": [{ "backendRefs": backends }] }));
        for configuration in rendered.resources.routes.values() {
            let routes = configuration["virtual_hosts"][0]["routes"].as_array().unwrap();
            let own: Vec<&Value> = routes.iter().filter(|route| route["name"] == "odd spec.rules[0]").collect();
            prop_assert!(!own.is_empty());
            for route in own {
                if weights.iter().all(|weight| *weight == 0) {
                    prop_assert_eq!(&route["direct_response"]["status"], &json!(500));
                    continue;
                }
                let clusters = route["route"]["weighted_clusters"]["clusters"].as_array().unwrap();
                let kept: Vec<u64> = clusters.iter().map(|one| one["weight"].as_u64().unwrap()).collect();
                prop_assert_eq!(kept, weights.iter().map(|weight| u64::from(*weight)).collect::<Vec<_>>());
            }
        }
    }
}

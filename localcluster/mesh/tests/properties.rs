//! What holds for any `VirtualService`, however odd.
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

/// Text that may be fine, wrong or hostile in the place where it ends up.
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

/// The canary scenario beside a `VirtualService` with `spec`.
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

/// Routes of each domain of the outbound proxy.
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
    fn weights_never_sum_to_nothing(spec in spec(text())) {
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
    fn one_object_leaves_the_hosts_of_others_alone(
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

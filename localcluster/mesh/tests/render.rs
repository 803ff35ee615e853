//! Golden tests: the manifests in `scenarios/`, and the resources, problems and statuses rendered from them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{path::Path, sync::Arc};

use localcluster_mesh::{
    compile::default_retries,
    istio::VirtualService,
    model::Snapshot,
    problem::ObjectId,
    render::{Rendered, Status, Verdict, bootstrap, render},
};
use serde_json::{Value, json};
use support::{scenario, settings};

fn render_in_etc(snapshot: &Snapshot) -> Rendered {
    render(snapshot, &settings(Path::new("/envoy")))
}

fn problems(rendered: &Rendered) -> Vec<String> {
    let line = |problem: &localcluster_mesh::problem::Problem| {
        let object = &problem.object;
        format!(
            "{:?} {object} {}: {}",
            problem.reason, problem.field, problem.message
        )
    };
    rendered.problems.iter().map(line).collect()
}

/// One line per object, parent and listener with a status.
fn statuses(rendered: &Rendered) -> Vec<String> {
    let text = |verdicts: &[Verdict]| {
        let conditions = verdicts.iter().map(|verdict| {
            let Verdict {
                kind,
                status,
                reason,
                message,
            } = verdict;
            format!("{kind}={status} {reason} ({message})")
        });
        conditions.collect::<Vec<_>>().join("; ")
    };
    let mut lines = Vec::new();
    for (object, status) in &rendered.statuses {
        match status {
            Status::Route(parents) => {
                for (parent, verdicts) in parents {
                    let parent = format!("{} {}", parent.kind, parent.name);
                    lines.push(format!("{object} at {parent}: {}", text(verdicts)));
                }
            }
            Status::Gateway {
                address,
                conditions,
                listeners,
            } => {
                let address = address.as_deref().unwrap_or("no address");
                lines.push(format!("{object} at {address}: {}", text(conditions)));
                for listener in listeners {
                    let kinds: Vec<_> = listener.kinds.iter().map(|kind| &kind.kind).collect();
                    lines.push(format!(
                        "{object} listener {}: {} of {kinds:?}; {}",
                        listener.name,
                        listener.attached,
                        text(&listener.conditions)
                    ));
                }
            }
            Status::Class(verdicts) => lines.push(format!("{object}: {}", text(verdicts))),
        }
    }
    lines
}

/// Abbreviates the default retries: they are long, appear in every route and have their own golden file.
fn abbreviate(value: &mut Value) {
    for safe in [true, false] {
        if *value == default_retries(safe) {
            *value = json!(format!("default, safe methods: {safe}"));
        }
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(abbreviate),
        Value::Object(fields) => fields.values_mut().for_each(abbreviate),
        _ => {}
    }
}

/// The prefixes of the statistics by cluster.
fn counters(rendered: &Rendered) -> Value {
    let clusters = rendered.resources.clusters.iter();
    clusters
        .map(|(name, cluster)| (name.clone(), cluster["alt_stat_name"].clone()))
        .collect()
}

macro_rules! golden {
    ($($name:ident: $($part:ident),*;)*) => {$(
        #[test]
        fn $name() {
            let rendered = render_in_etc(&scenario(concat!(stringify!($name), ".yaml")));
            let problems = problems(&rendered);
            let resources = rendered.resources;
            let mut golden = json!({
                $(stringify!($part): resources.$part,)*
                "problems": problems,
            });
            abbreviate(&mut golden);
            insta::assert_yaml_snapshot!(golden);
        }
    )*};
}

golden! {
    canary: clusters, endpoints, routes;
    affinity: routes;
    actions: clusters, endpoints, routes;
    gateway: routes;
    wrong: routes;
}

macro_rules! gateway_api_golden {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let rendered = render_in_etc(&scenario(concat!(stringify!($name), ".yaml")));
            let mut golden = json!({
                "problems": problems(&rendered),
                "statuses": statuses(&rendered),
                "counters": counters(&rendered),
                "routes": rendered.resources.routes,
            });
            abbreviate(&mut golden);
            insta::assert_yaml_snapshot!(golden);
        }
    )*};
}

gateway_api_golden!(http_routes, http_filters, http_wrong);

#[test]
fn the_default_retries_are_istios_with_an_addition_for_safe_methods() {
    insta::assert_yaml_snapshot!([default_retries(true), default_retries(false)]);
}

#[test]
fn the_bootstrap_names_listeners_admin_and_files() {
    insta::assert_yaml_snapshot!(bootstrap(&settings(Path::new("/envoy"))));
}

#[test]
fn without_an_ingress_no_routes_and_no_listener_are_rendered_for_it() {
    let mut settings = settings(Path::new("/envoy"));
    settings.ingress = None;
    let routes = render(&scenario("gateway.yaml"), &settings)
        .resources
        .routes;
    assert_eq!(routes.into_keys().collect::<Vec<_>>(), ["outbound"]);
    let listeners = bootstrap(&settings)["static_resources"]["listeners"].clone();
    assert_eq!(listeners.as_array().unwrap().len(), 1);
}

#[test]
fn rendering_does_not_depend_on_the_order_of_objects() {
    for name in ["wrong.yaml", "http_wrong.yaml", "http_routes.yaml"] {
        let mut snapshot = scenario(name);
        let forward = render_in_etc(&snapshot);
        snapshot.services.reverse();
        snapshot.slices.reverse();
        snapshot.pods.reverse();
        snapshot.virtual_services.reverse();
        snapshot.destination_rules.reverse();
        snapshot.gateways.reverse();
        snapshot.http_routes.reverse();
        snapshot.api_gateways.reverse();
        snapshot.gateway_classes.reverse();
        snapshot.namespaces.reverse();
        let backward = render_in_etc(&snapshot);
        assert_eq!(forward.resources, backward.resources, "{name}");
        assert_eq!(forward.problems, backward.problems, "{name}");
        assert_eq!(forward.statuses, backward.statuses, "{name}");
    }
}

#[test]
fn a_waypoint_reports_requests_only_while_its_gateway_exists_and_serves_services() {
    let reporter = |snapshot: &Snapshot| {
        let counters = counters(&render_in_etc(snapshot));
        let name = counters["outbound|80||simple-app-canary.default.svc.cluster.local"].clone();
        let (_, reporter) = name.as_str().unwrap().rsplit_once('|').unwrap();
        reporter.to_owned()
    };
    let mut snapshot = scenario("http_routes.yaml");
    assert_eq!(reporter(&snapshot), "waypoint");
    let waypoint = snapshot
        .api_gateways
        .iter()
        .position(|gateway| gateway.spec.gateway_class_name == "istio-waypoint")
        .unwrap();
    let labels = |purpose: &str| {
        let label = ("istio.io/waypoint-for".to_owned(), purpose.to_owned());
        Some([label].into())
    };
    for (purpose, expected) in [("workload", "destination"), ("all", "waypoint")] {
        let gateway = Arc::make_mut(&mut snapshot.api_gateways[waypoint]);
        gateway.metadata.labels = labels(purpose);
        assert_eq!(reporter(&snapshot), expected, "{purpose}");
    }
    snapshot.api_gateways.remove(waypoint);
    assert_eq!(reporter(&snapshot), "destination");
    let problems = problems(&render_in_etc(&snapshot));
    let missing = "Unresolved Namespace /default metadata.labels[istio.io/use-waypoint]: \
                   Gateway default/waypoint of class istio-waypoint does not exist";
    assert!(problems.iter().any(|line| line == missing), "{problems:?}");
}

#[test]
fn requests_without_a_ready_pod_do_not_count_against_a_workload() {
    let mut snapshot = scenario("canary.yaml");
    let prefix = |snapshot: &Snapshot| {
        let rendered = render_in_etc(snapshot);
        let canary = &rendered.resources.clusters["outbound|80||simple-app-canary.default.svc.cluster.local"];
        canary["alt_stat_name"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        prefix(&snapshot),
        "simple-app-canary|default|80|simple-app|destination"
    );
    for slice in &mut snapshot.slices {
        for endpoint in &mut Arc::make_mut(slice).endpoints {
            endpoint.conditions.get_or_insert_default().ready = Some(false);
        }
    }
    assert_eq!(
        prefix(&snapshot),
        "simple-app-canary|default|80|unknown|destination"
    );
}

#[test]
fn a_terminating_pod_gets_no_requests() {
    let mut snapshot = scenario("canary.yaml");
    let file = "simple-app-canary.default.80.json";
    let addresses = |snapshot: &Snapshot| {
        render_in_etc(snapshot).resources.endpoints[file]["endpoints"][0]["lb_endpoints"].clone()
    };
    assert_eq!(addresses(&snapshot).as_array().unwrap().len(), 1);
    for pod in &mut snapshot.pods {
        Arc::make_mut(pod).metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    }
    assert_eq!(addresses(&snapshot), json!([]));
}

#[test]
fn an_object_that_becomes_invalid_keeps_its_last_good_version() {
    let mut snapshot = scenario("canary.yaml");
    let good = render_in_etc(&snapshot);
    let mut broken = VirtualService::clone(&snapshot.virtual_services[0]);
    broken.metadata.generation = Some(4);
    broken.spec.http[0].timeout = Some("soon".into());
    snapshot.virtual_services = vec![Arc::new(broken)];
    snapshot.memory.last_good = good.used.clone();
    let after = render_in_etc(&snapshot);
    assert_eq!(after.resources, good.resources);
    let problems = problems(&after);
    assert!(
        problems[0].starts_with("Invalid VirtualService default/simple-app spec.http[0].timeout")
    );
}

#[test]
fn an_object_that_envoy_rejected_keeps_its_last_good_version() {
    let mut snapshot = scenario("canary.yaml");
    let good = render_in_etc(&snapshot);
    let mut rejected = VirtualService::clone(&snapshot.virtual_services[0]);
    rejected.metadata.generation = Some(4);
    rejected.spec.http[0].route.reverse();
    snapshot.virtual_services = vec![Arc::new(rejected)];
    assert_ne!(render_in_etc(&snapshot).resources, good.resources);
    let id = ObjectId::of(&*snapshot.virtual_services[0]);
    snapshot.memory.rejected.insert(id, "bad route".into());
    snapshot.memory.last_good = good.used.clone();
    let after = render_in_etc(&snapshot);
    assert_eq!(after.resources, good.resources);
    assert!(problems(&after)[0].contains("Envoy rejected the object: bad route"));
}

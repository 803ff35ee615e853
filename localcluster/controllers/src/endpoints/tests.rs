use serde_json::{Value, json};

use super::*;

fn service(extra: &Value) -> Service {
    let mut spec = json!({"clusterIP": "127.9.255.1", "selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]});
    spec.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    serde_json::from_value(
        json!({"metadata": {"name": "app", "namespace": "default", "uid": "s"}, "spec": spec}),
    )
    .unwrap()
}

fn pod(name: &str, ip: &str, ready: bool, web: i32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "a"}},
        "spec": {"nodeName": "local", "containers": [{"name": "app", "ports": [{"name": "web", "containerPort": web}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    }))
    .unwrap()
}

fn terminating(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    pod
}

/// Returns (address, ready, serving, terminating, first port) of every endpoint.
fn summary(service: &Service, pods: &[Pod]) -> Vec<(String, bool, bool, bool, i32)> {
    let pods: Vec<&Pod> = pods.iter().collect();
    let mut all = Vec::new();
    for slice in desired::slices(service, &pods) {
        for endpoint in &slice.endpoints {
            let conditions = endpoint.conditions.clone().unwrap();
            let port = slice.ports.as_ref().unwrap()[0].port.unwrap();
            all.push((
                endpoint.addresses[0].clone(),
                conditions.ready.unwrap(),
                conditions.serving.unwrap(),
                conditions.terminating.unwrap(),
                port,
            ));
        }
    }
    all.sort();
    all
}

#[test]
fn conditions_follow_readiness_and_deletion() {
    let pods = [
        pod("a", "127.9.1.1", true, 8080),
        pod("b", "127.9.1.2", false, 8080),
        terminating(pod("c", "127.9.1.3", true, 8080)),
        pod("no-address", "", true, 8080),
    ];
    assert_eq!(
        summary(&service(&json!({})), &pods),
        [
            ("127.9.1.1".into(), true, true, false, 8080),
            ("127.9.1.2".into(), false, false, false, 8080),
            ("127.9.1.3".into(), false, true, true, 8080),
        ]
    );
}

#[test]
fn a_named_port_is_looked_up_in_every_pod() {
    let pods = [
        pod("a", "127.9.1.1", true, 8080),
        pod("b", "127.9.1.2", true, 9090),
    ];
    let found = summary(&service(&json!({})), &pods);
    assert_eq!(
        found.iter().map(|endpoint| endpoint.4).collect::<Vec<_>>(),
        [8080, 9090]
    );
    let references: Vec<&Pod> = pods.iter().collect();
    assert_eq!(
        desired::slices(&service(&json!({})), &references).len(),
        2,
        "one slice per set of ports"
    );
}

#[test]
fn numeric_and_absent_target_ports_need_no_lookup() {
    for (port, expected) in [
        (json!({"port": 80}), 80),
        (json!({"port": 80, "targetPort": 8000}), 8000),
    ] {
        let service = service(&json!({"ports": [port]}));
        assert_eq!(
            summary(&service, &[pod("a", "127.9.1.1", true, 1)])[0].4,
            expected
        );
    }
}

#[test]
fn pods_without_the_named_port_are_omitted() {
    let service = service(&json!({"ports": [{"port": 80, "targetPort": "grpc"}]}));
    assert!(summary(&service, &[pod("a", "127.9.1.1", true, 1)]).is_empty());
}

#[test]
fn publish_not_ready_addresses_marks_every_endpoint_ready() {
    let service = service(&json!({"publishNotReadyAddresses": true}));
    let pods = [terminating(pod("a", "127.9.1.1", false, 8080))];
    assert_eq!(
        summary(&service, &pods),
        [("127.9.1.1".into(), true, true, true, 8080)]
    );
}

#[test]
fn the_slices_and_endpoints_of_a_service() {
    let pods = [
        pod("a", "127.9.1.1", true, 8080),
        pod("b", "127.9.1.2", false, 8080),
        terminating(pod("c", "127.9.1.3", true, 8080)),
    ];
    let pods: Vec<&Pod> = pods.iter().collect();
    let service = service(&json!({}));
    insta::assert_json_snapshot!(json!({
        "slices": desired::slices(&service, &pods), "endpoints": desired::endpoints(&service, &pods),
    }));
}

#[test]
fn many_pods_are_spread_over_slices() {
    let pods: Vec<Pod> = (0..250)
        .map(|i| pod(&format!("p{i:03}"), &format!("127.9.2.{i}"), true, 80))
        .collect();
    let pods: Vec<&Pod> = pods.iter().collect();
    let slices = desired::slices(&service(&json!({})), &pods);
    assert_eq!(
        slices
            .iter()
            .map(|slice| slice.endpoints.len())
            .collect::<Vec<_>>(),
        [100, 100, 50]
    );
    let names: std::collections::BTreeSet<String> =
        slices.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn equal_pods_yield_equal_slices() {
    let pods = [pod("a", "127.9.1.1", true, 8080)];
    let pods: Vec<&Pod> = pods.iter().collect();
    let (first, second) = (
        desired::slices(&service(&json!({})), &pods),
        desired::slices(&service(&json!({})), &pods),
    );
    assert_eq!(first, second);
    assert!(is_same_slice(&first[0], &second[0]));
}

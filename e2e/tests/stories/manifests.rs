//! The committed manifests, rendered like `kubectl apply -k`.

use e2e::Cluster;
use serde_json::Value;

/// All kustomizations that can be applied.
const KUSTOMIZATIONS: [&str; 11] = [
    "controller",
    "demo",
    "monitoring",
    "secret-copies",
    "overlays/cluster",
    "overlays/cluster-ambient",
    "overlays/local",
    "overlays/local-ambient",
    "overlays/minikube",
    "overlays/minikube-ambient",
    "overlays/namespaced",
];

fn render(cluster: &Cluster, kustomization: &str) -> Vec<Value> {
    let path = format!("manifests/{kustomization}");
    let text = cluster.kubectl(&["kustomize", &path]);
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| serde::Deserialize::deserialize(document).expect("kubectl prints YAML"))
        .collect()
}

#[test]
fn all_objects_and_pods_have_the_recommended_labels() {
    let cluster = Cluster::none_yet();
    for kustomization in KUSTOMIZATIONS {
        let objects = render(&cluster, kustomization);
        assert!(!objects.is_empty(), "{kustomization}");
        for object in objects {
            let what = format!("{kustomization}: {} {}", object["kind"], object["metadata"]);
            if object["kind"] == "Namespace" {
                continue;
            }
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                labels["app.kubernetes.io/part-of"], "canary-release",
                "{what}"
            );
            for label in ["app.kubernetes.io/name", "app.kubernetes.io/component"] {
                assert!(labels[label].is_string(), "{label} is missing: {what}");
                if object["kind"] == "Deployment" {
                    let pods = &object["spec"]["template"]["metadata"]["labels"][label];
                    assert_eq!(*pods, labels[label], "{label} of the pods: {what}");
                }
            }
        }
    }
}

#[test]
fn no_manifest_allows_the_controller_to_write_secrets_in_all_namespaces() {
    let cluster = Cluster::none_yet();
    for kustomization in KUSTOMIZATIONS {
        for object in render(&cluster, kustomization) {
            if kustomization == "overlays/namespaced" {
                let kind = object["kind"].as_str().unwrap_or_default();
                assert!(!kind.starts_with("Cluster"), "{kind} in {kustomization}");
            }
            let rules = object["rules"].as_array().into_iter().flatten();
            for rule in rules.filter(|_| object["kind"] == "ClusterRole") {
                let secrets = rule["resources"]
                    .as_array()
                    .is_some_and(|list| list.iter().any(|resource| resource == "secrets"));
                let reads = serde_json::json!(["get", "list", "watch"]);
                assert!(
                    !secrets || rule["verbs"] == reads,
                    "{kustomization}: {rule}"
                );
            }
        }
    }
}

/// The disruption budget always allows the eviction of one replica, but never of both.
#[test]
fn a_drain_evicts_one_replica_of_the_controller_at_a_time() {
    let objects = render(&Cluster::none_yet(), "controller");
    let find = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.unwrap_or_else(|| panic!("there is a {kind}"))
    };
    let (deployment, budget) = (find("Deployment"), find("PodDisruptionBudget"));
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
}

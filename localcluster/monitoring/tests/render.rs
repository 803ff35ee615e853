//! Golden tests: monitors, rules and pods, and the configuration rendered from them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use localcluster_monitoring::{
    crd::{PodMonitor, PrometheusRule},
    crds, rules,
    scrape::{Settings, render},
    targets,
};
use localcluster_shared::problem::{ObjectId, Problem};
use serde::de::DeserializeOwned;

fn read<K: DeserializeOwned>(file: &str) -> Vec<Arc<K>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scenarios")
        .join(file);
    let text = fs::read_to_string(path).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| Arc::new(K::deserialize(document).unwrap()))
        .collect()
}

fn settings() -> Settings {
    Settings {
        targets: "/prometheus/targets.json".into(),
        rules: "/prometheus/rules/*.yml".into(),
        envoy_admin: "127.9.0.2:15000".parse().unwrap(),
        interval: Duration::from_secs(5),
    }
}

fn line(problem: &Problem) -> String {
    let Problem {
        object,
        reason,
        field,
        message,
    } = problem;
    format!("{reason} {object} {field}: {message}")
}

#[test]
fn monitors_are_rendered_to_jobs() {
    let (configuration, problems) = render(&read("monitors.yaml"), &BTreeMap::new(), &settings());
    insta::assert_yaml_snapshot!("jobs", configuration);
    insta::assert_yaml_snapshot!("problems", problems.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn a_rejected_monitor_is_skipped_and_reported() {
    let mut monitors: Vec<Arc<PodMonitor>> = read("monitors.yaml");
    monitors.truncate(1);
    let rejected = BTreeMap::from([(ObjectId::of(&*monitors[0]), "no".to_owned())]);
    let (configuration, problems) = render(&monitors, &rejected, &settings());
    assert_eq!(configuration, render(&[], &BTreeMap::new(), &settings()).0);
    let problems: Vec<String> = problems.iter().map(line).collect();
    assert_eq!(
        problems,
        [
            "Rejected PodMonitor monitoring/simple-app-canary spec: Prometheus rejected the object: no"
        ]
    );
}

#[test]
fn rules_are_rendered_to_files_and_a_rejected_object_is_skipped() {
    let rules: Vec<Arc<PrometheusRule>> = read("rules.yaml");
    let rejected = BTreeMap::from([(ObjectId::of(&*rules[1]), "no".to_owned())]);
    let (files, problems) = rules::render(&rules, &rejected);
    insta::assert_yaml_snapshot!("rule_files", files);
    let problems: Vec<String> = problems.iter().map(line).collect();
    assert_eq!(
        problems,
        [
            "Rejected PrometheusRule shop/refused spec: Prometheus rejected the object; none of its rules is evaluated: no"
        ]
    );
}

#[test]
fn pods_are_rendered_to_the_targets_of_kubernetes_service_discovery() {
    insta::assert_yaml_snapshot!(targets::render(&read("pods.yaml")));
}

#[test]
fn the_definitions_match_their_golden_files() {
    for definition in crds() {
        insta::assert_yaml_snapshot!(definition.spec.names.kind.clone(), definition);
    }
}

//! The alerts in `manifests/`, tested with the metrics of a controller in every state that they report. The delay of
//! `for` is Prometheus' business: here an alert counts as soon as its expression has a result.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::StatusCode as Status;
use serde::Deserialize;

use super::*;

/// Reads a file under `manifests/`.
fn committed(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../manifests")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    Value::deserialize(serde_yaml::Deserializer::from_str(&text)).unwrap()
}

/// The expressions of all alerts, by name.
fn alerts() -> BTreeMap<String, String> {
    let rules = committed("monitoring/rules.yaml");
    let groups = rules["spec"]["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules
        .map(|rule| (text(&rule["alert"]), text(&rule["expr"])))
        .collect()
}

/// A controller that serves the given metrics. ` N` stands for a number that grows with every scrape. Without metrics it
/// responds with an error.
#[derive(Clone, Default)]
struct Controller(Arc<Mutex<Vec<&'static str>>>);

impl Controller {
    fn set_metrics(&self, lines: &[&'static str]) {
        *self.0.lock().unwrap() = lines.to_vec();
    }

    async fn pod(&self) -> Value {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (lines, scrapes) = (self.0.clone(), Arc::new(AtomicU64::new(0)));
        let metrics = move || {
            let number = scrapes.fetch_add(1, Ordering::Relaxed).to_string();
            let lines = lines.lock().unwrap().clone();
            let lines = lines
                .iter()
                .map(|line| line.replace(" N", &format!(" {number}")) + "\n");
            let text: String = lines.collect();
            async move {
                match text.is_empty() {
                    true => (Status::INTERNAL_SERVER_ERROR, text),
                    false => (Status::OK, text),
                }
            }
        };
        let app = Router::new().route("/metrics", get(metrics));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "controller-1", "namespace": "default",
                "labels": { "app.kubernetes.io/name": "canary-controller" } },
            "spec": { "containers": [{ "name": "controller", "image": "controller:1",
                "ports": [{ "name": "http", "containerPort": port }] }] },
            "status": { "phase": "Running", "podIP": "127.0.0.1" },
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_for_its_state_and_no_other() {
    let (client, folder) = api_server().await;
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "monitoring" } });
    create(&client, &namespace).await;
    let monitoring = Monitoring::start(&client, free_address().await, folder.path()).await;
    let mut monitor = committed("monitoring/pod-monitor.yaml");
    monitor["spec"]["podMetricsEndpoints"][0]["interval"] = json!("200ms");
    create(&client, &monitor).await;
    // No controller at all.
    expect(&monitoring, "there is no pod", &["CanaryControllerDown"]).await;

    let controller = Controller::default();
    create_pod(&client, &controller.pod().await).await;
    expect(
        &monitoring,
        "a pod responds with errors",
        &["CanaryControllerDown"],
    )
    .await;

    let [leads, waits] = ["canary_controller_leader 1", "canary_controller_leader 0"];
    let succeeded = r#"flagger_canary_status{namespace="shop",name="app"} 1"#;
    let running = r#"flagger_canary_status{namespace="shop",name="app"} 0"#;
    let failed = r#"flagger_canary_status{namespace="shop",name="app"} 2"#;
    let stands = r#"flagger_canary_weight{namespace="shop",workload="app"} 10"#;
    let moves = r#"flagger_canary_weight{namespace="shop",workload="app"} N"#;
    let measured = r#"canary_controller_measurements_total{namespace="shop",name="app",metric="m",result="value"} N"#;
    let missing = r#"canary_controller_measurements_total{namespace="shop",name="app",metric="m",result="no_data"} N"#;
    for (state, lines, expected) in [
        (
            "a release has succeeded",
            &[leads, succeeded, stands][..],
            &[][..],
        ),
        (
            "no replica leads",
            &[waits],
            &["CanaryControllerWithoutLeader"],
        ),
        (
            "a release failed",
            &[leads, failed, stands],
            &["CanaryFailed"],
        ),
        (
            "a release stands",
            &[leads, running, stands, measured],
            &["CanaryStuck"],
        ),
        (
            "a release moves",
            &[leads, running, moves, measured, missing],
            &[],
        ),
    ] {
        controller.set_metrics(lines);
        expect(&monitoring, state, expected).await;
    }
    // Use another canary, because the recent values of this one still count.
    controller.set_metrics(&[
        leads,
        r#"canary_controller_measurements_total{namespace="shop",name="mute",metric="m",result="error"} N"#,
    ]);
    expect(
        &monitoring,
        "a check has no values",
        &["CanaryMetricsMissing"],
    )
    .await;
    monitoring.stop().await;
}

/// Waits until the expressions of exactly these alerts have a result.
async fn expect(monitoring: &Monitoring, state: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
    eventually(&format!("{expected:?} when {state}"), || async {
        let mut firing = BTreeSet::new();
        for (name, expression) in alerts() {
            if !monitoring.query(&expression).await.is_empty() {
                firing.insert(name);
            }
        }
        firing == expected
    })
    .await;
}

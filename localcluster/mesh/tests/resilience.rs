//! Invalid objects and crashes with a real Envoy. Requires Envoy on the `PATH` or in `ENVOY`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/requests.rs"]
mod requests;

use cluster::*;
use hyper::Method;
use requests::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// A VirtualService that passes our validation: its value has the form of a header formatter command, and only Envoy
/// knows that the command does not exist.
fn odd() -> Value {
    json!({
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": { "name": "odd", "namespace": "default" },
        "spec": { "hosts": ["app-primary"], "http": [{
            "headers": { "request": { "set": { "x-odd": "%NO_SUCH_COMMAND%" } } },
            "route": [{ "destination": { "host": "app-canary" } }],
        }] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_envoy_rejects_at_startup_does_not_block_others() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.extend([
        odd(),
        virtual_service(json!([{ "route": destinations(0, 100) }])),
    ]);
    let cluster = Cluster::start(&objects).await;
    assert_eq!(get(cluster.proxy, "http://app/").await.from(), "canary");
    assert_eq!(
        get(cluster.proxy, "http://app-primary/").await.from(),
        "primary"
    );
    cluster
        .wait_for_event("odd", "Rejected", "NO_SUCH_COMMAND")
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_envoy_rejects_is_reported_and_does_not_affect_others() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(100, 0) }])));
    let cluster = Cluster::start(&objects).await;
    let load = Load::start(cluster.proxy, "http://app/", Method::GET, 4);
    cluster.create(odd()).await;
    cluster
        .wait_for_event("odd", "Rejected", "NO_SUCH_COMMAND")
        .await;
    assert_eq!(
        get(cluster.proxy, "http://app-primary/").await.from(),
        "primary"
    );
    // Other objects can still be changed.
    cluster.set_weights(0, 100).await;
    eventually("the new weight to take effect", || async {
        get(cluster.proxy, "http://app/").await.from() == "canary"
    })
    .await;
    // Once fixed, the object takes effect.
    let http = json!([{ "route": [{ "destination": { "host": "app-canary" } }] }]);
    cluster
        .patch(
            ISTIO,
            "VirtualService",
            "odd",
            json!({ "spec": { "http": http } }),
        )
        .await;
    eventually("the fixed route to take effect", || async {
        get(cluster.proxy, "http://app-primary/").await.from() == "canary"
    })
    .await;
    let tally = load.stop().await;
    assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_field_is_reported_and_the_rest_takes_effect() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([
        { "match": [{ "sourceLabels": { "app": "x" } }], "route": [{ "destination": { "host": "app-canary" } }] },
        { "route": [{ "destination": { "host": "app-primary" } }] },
    ])));
    let cluster = Cluster::start(&objects).await;
    cluster
        .wait_for_event("app", "Unsupported", "spec.http[0].match[0].sourceLabels")
        .await;
    assert_eq!(get(cluster.proxy, "http://app/").await.from(), "primary");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_envoy_is_restarted_with_the_same_routes() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(0, 100) }])));
    let mut cluster = Cluster::start(&objects).await;
    let state = cluster.folder.path().join("envoy").canonicalize().unwrap();
    let pid = envoy_of(&state).expect("Envoy must run");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    cluster.wait_until_ready(false).await;
    cluster.wait_until_ready(true).await;
    assert_eq!(get(cluster.proxy, "http://app/").await.from(), "canary");
    cluster.stop().await;
    assert_eq!(envoy_of(&state), None, "Envoy still runs after the stop");
}

/// The process whose command line names `state`.
fn envoy_of(state: &std::path::Path) -> Option<rustix::process::Pid> {
    let marker = format!("{}/bootstrap.json", state.display());
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            line.contains(&marker)
                .then(|| rustix::process::Pid::from_raw(pid))
                .flatten()
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_an_address_in_use_and_a_missing_program() {
    let client = localcluster_apiserver::ApiServer::open(Default::default())
        .await
        .unwrap()
        .client();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = localcluster_mesh::Config {
        envoy: envoy(),
        state_dir: folder.path().join("envoy"),
        shim: None,
        proxy: free_address().await,
        admin: free_address().await,
        ingress: Some(taken),
        ingress_default: None,
        ready: None,
    };
    let run = |config| localcluster_mesh::run(config, client.clone(), Default::default());
    let error = run(config.clone()).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("{taken}, the address of the ingress, is in use")),
        "{error}"
    );
    config.envoy = "/no/such/envoy".into();
    let error = run(config.clone()).await.unwrap_err().to_string();
    assert!(
        error.contains("/no/such/envoy") && error.contains("./run.sh tools"),
        "{error}"
    );
    config.envoy = envoy();
    config.admin = "0.0.0.0:1".parse().unwrap();
    let error = run(config).await.unwrap_err().to_string();
    assert!(error.contains("loopback"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_accepts_every_golden_scenario() {
    for scenario in [
        "canary",
        "affinity",
        "actions",
        "gateway",
        "http_routes",
        "http_filters",
    ] {
        let mut objects = Vec::new();
        for file in ["cluster.inc", scenario] {
            let path = format!("{}/tests/scenarios/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            for document in serde_yaml::Deserializer::from_str(&text) {
                let mut object = Value::deserialize(document).unwrap();
                let metadata = object["metadata"].as_object_mut().unwrap();
                metadata.retain(|field, _| !["uid", "generation"].contains(&field.as_str()));
                // The API server already has this namespace.
                if object["kind"] != "Namespace" || object["metadata"]["name"] != "default" {
                    objects.push(object);
                }
            }
        }
        let cluster = Cluster::start(&objects).await;
        let query = "/stats?filter=update_rejected|update_success";
        let (_, body) = localcluster_shared::http::request(Method::GET, cluster.admin, query)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        for line in body.lines().filter(|line| line.contains("update_rejected")) {
            assert!(line.ends_with(": 0"), "{scenario}: {body}");
        }
        assert!(
            body.contains("rds.outbound.update_success"),
            "{scenario}: {body}"
        );
        cluster.stop().await;
    }
}

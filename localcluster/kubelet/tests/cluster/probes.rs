//! Probes and their consequences.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_failing_liveness_probe_restarts_the_container() {
    let cluster = Cluster::start().await;
    let liveness = json!({"httpGet": {"path": "/healthy", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1});
    cluster
        .create::<Pod>(pod(
            "one",
            json!({"readinessProbe": readiness(), "livenessProbe": liveness}),
        ))
        .await;
    let running = cluster.pod("one", is_ready).await;
    get(ip(&running), 8080, "/sicken").await.unwrap();
    cluster
        .event(
            "one",
            "Unhealthy",
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
        )
        .await;
    cluster
        .event(
            "one",
            "Killing",
            "Container app failed liveness probe, will be restarted",
        )
        .await;
    cluster
        .pod("one", |pod| {
            // A slow machine may fail the probe once more.
            is_ready(pod) && container(pod).restart_count >= 1
        })
        .await;
}

#[tokio::test]
async fn a_startup_probe_holds_the_others_back_and_fails_after_its_budget() {
    let cluster = Cluster::start().await;
    let startup = json!({"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1});
    cluster
        .create::<Pod>(pod(
            "slow",
            json!({"startupProbe": startup, "env": [{"name": "READY_AFTER", "value": "999999"}]}),
        ))
        .await;
    cluster
        .event(
            "slow",
            "Killing",
            "Container app failed startup probe, will be restarted",
        )
        .await;
    cluster
        .create::<Pod>(pod("quick", json!({"startupProbe": startup})))
        .await;
    cluster.pod("quick", is_ready).await;
}

#[tokio::test]
async fn commands_of_probes_are_programs_of_the_image() {
    let cluster = Cluster::start().await;
    let exec = |code: &str| json!({"exec": {"command": ["app", "exit", code]}, "periodSeconds": 1, "timeoutSeconds": 5});
    cluster
        .create::<Pod>(pod("good", json!({"readinessProbe": exec("0")})))
        .await;
    cluster
        .create::<Pod>(pod("bad", json!({"readinessProbe": exec("3")})))
        .await;
    cluster
        .create::<Pod>(pod(
            "foreign",
            json!({"readinessProbe": {"exec": {"command": ["/bin/true"]}, "periodSeconds": 1}}),
        ))
        .await;
    cluster.pod("good", is_ready).await;
    cluster
        .event("bad", "Unhealthy", "Readiness probe failed: command")
        .await;
    cluster
        .event("foreign", "Unhealthy", "executable file not found in image")
        .await;
    for name in ["bad", "foreign"] {
        assert!(!is_ready(&cluster.pod(name, |_| true).await));
    }
}

#[tokio::test]
async fn tcp_probes_connect() {
    let cluster = Cluster::start().await;
    let tcp = |port: i32| json!({"tcpSocket": {"port": port}, "periodSeconds": 1});
    cluster
        .create::<Pod>(pod("good", json!({"readinessProbe": tcp(8080)})))
        .await;
    cluster
        .create::<Pod>(pod("bad", json!({"readinessProbe": tcp(8081)})))
        .await;
    cluster.pod("good", is_ready).await;
    cluster
        .event("bad", "Unhealthy", "Readiness probe failed: dial tcp")
        .await;
}

//! Deletion of pods.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_deleted_pod_ends_gracefully() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod(
            "one",
            json!({"readinessProbe": readiness(), "env": [{"name": "DRAIN", "value": "300"}]}),
        ))
        .await;
    let running = cluster.pod("one", is_ready).await;
    let folder = cluster
        .config
        .pods_dir()
        .join(running.metadata.uid.as_ref().unwrap());
    assert!(folder.exists());
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    // It keeps serving during the settle delay and while it drains.
    assert_eq!(get(ip(&running), 8080, "/").await.unwrap().0, 200);
    gone(&cluster, "one").await;
    assert!(get(ip(&running), 8080, "/").await.is_err());
    cluster
        .event("one", "Killing", "Stopping container app")
        .await;
    cluster
        .until("the pod's folder to be removed", async || {
            if folder.exists() {
                Err("it still exists".into())
            } else {
                Ok(())
            }
        })
        .await;
}

/// Creates the pod `one`, which ignores SIGTERM, and waits until it is ready.
async fn stubborn(cluster: &Cluster) -> Pod {
    let env = json!([{"name": "STUBBORN", "value": "1"}]);
    let container = json!({"readinessProbe": readiness(), "env": env});
    cluster.create::<Pod>(pod("one", container)).await;
    cluster.pod("one", is_ready).await
}

#[tokio::test]
async fn a_stubborn_pod_is_killed_when_its_grace_period_ends() {
    let cluster = Cluster::start().await;
    let running = stubborn(&cluster).await;
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default().grace_period(1))
        .await
        .unwrap();
    gone(&cluster, "one").await;
    assert!(get(ip(&running), 8080, "/").await.is_err());
}

#[tokio::test]
async fn a_forced_deletion_kills_immediately() {
    let cluster = Cluster::start().await;
    let running = stubborn(&cluster).await;
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    cluster
        .until("the process to end", async || {
            match get(ip(&running), 8080, "/").await {
                Err(_) => Ok(()),
                Ok(_) => Err("it still responds".into()),
            }
        })
        .await;
}

#[tokio::test]
async fn a_pre_stop_hook_runs_before_the_signal() {
    let cluster = Cluster::start_with(|config| config.settle = Duration::ZERO).await;
    let lifecycle = json!({"preStop": {"httpGet": {"path": "/sicken", "port": "http"}}});
    cluster.create::<Pod>(pod("one", json!({"readinessProbe": readiness(), "lifecycle": lifecycle, "env": [{"name": "DRAIN", "value": "2000"}]}))).await;
    let running = cluster.pod("one", is_ready).await;
    assert_eq!(get(ip(&running), 8080, "/healthy").await.unwrap().0, 200);
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until("the hook", async || {
            match get(ip(&running), 8080, "/healthy").await {
                Ok((500, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    gone(&cluster, "one").await;
}

#[tokio::test]
async fn a_pod_deleted_while_no_kubelet_runs_is_removed_later() {
    let mut cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod("one", json!({"readinessProbe": readiness()})))
        .await;
    cluster.pod("one", is_ready).await;
    cluster.kill_kubelet().await;
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    assert!(
        cluster
            .api::<Pod>()
            .get("one")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    cluster.start_kubelet();
    gone(&cluster, "one").await;
}

#[tokio::test]
async fn deleting_a_finished_pod_removes_its_folders() {
    let cluster = Cluster::start().await;
    let mut object = pod("one", json!({"env": [{"name": "EXIT", "value": "0"}]}));
    object["spec"]["restartPolicy"] = "Never".into();
    cluster.create::<Pod>(object).await;
    let finished = cluster
        .pod("one", |pod| {
            pod.status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some("Succeeded")
        })
        .await;
    let uid = finished.metadata.uid.unwrap();
    let folders = [
        cluster.config.pods_dir().join(&uid),
        cluster.config.logs_dir().join(format!("default_one_{uid}")),
    ];
    assert!(folders.iter().all(|folder| folder.exists()));
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    gone(&cluster, "one").await;
    cluster
        .until("its folders to be removed", async || {
            if folders.iter().any(|folder| folder.exists()) {
                Err("it still exists".into())
            } else {
                Ok(())
            }
        })
        .await;
}

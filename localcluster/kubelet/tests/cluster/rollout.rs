//! Rollouts end to end: Deployments, ReplicaSets, pods, processes, EndpointSlices.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Endpoints, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::*;

fn deployment(replicas: i32, image: &str, strategy: &Value) -> Value {
    json!({
        "metadata": {"name": "app", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [{
                    "name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}],
                    "readinessProbe": readiness(), "env": [{"name": "READY_AFTER", "value": "100"}],
                }]},
            },
        },
    })
}

async fn create(cluster: &Cluster, deployment: Value) {
    cluster.create::<Service>(json!({"metadata": {"name": "app"}, "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})).await;
    cluster.create::<Deployment>(deployment).await;
}

async fn patch(cluster: &Cluster, patch: Value) {
    let deployments = cluster.api::<Deployment>();
    deployments
        .patch("app", &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
}

fn image_patch(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}})
}

/// Waits until the Deployment's latest generation is fully rolled out.
async fn settled(cluster: &Cluster) -> Deployment {
    let deployments = cluster.api::<Deployment>();
    cluster
        .until("the rollout", async || {
            let found = deployments.get("app").await.unwrap();
            let (spec, status) = (
                found.spec.clone().unwrap(),
                found.status.clone().unwrap_or_default(),
            );
            let wanted = spec.replicas.unwrap();
            let done = status.observed_generation == found.metadata.generation
                && [
                    status.updated_replicas,
                    status.available_replicas,
                    status.replicas,
                ]
                .iter()
                .all(|n| n.unwrap_or(0) == wanted);
            if done {
                Ok(found)
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await
}

/// Ready addresses of the Service.
async fn ready_addresses(slices: &Api<EndpointSlice>) -> BTreeSet<Ipv4Addr> {
    let params = ListParams::default().labels("kubernetes.io/service-name=app");
    let slices = slices.list(&params).await.unwrap().items;
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    endpoints
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .is_some_and(|conditions| conditions.ready == Some(true))
        })
        .map(|endpoint| endpoint.addresses[0].parse().unwrap())
        .collect()
}

#[tokio::test]
async fn a_deployment_becomes_processes_behind_a_service() {
    let cluster = Cluster::start().await;
    create(&cluster, deployment(2, "app:1", &Value::Null)).await;
    let deployment = settled(&cluster).await;
    assert_eq!(
        deployment.annotations()["deployment.kubernetes.io/revision"],
        "1"
    );
    let pods = cluster.pods().await;
    let addresses: BTreeSet<Ipv4Addr> = pods.iter().map(ip).collect();
    let slices = cluster.api::<EndpointSlice>();
    cluster
        .until("both endpoints", async || {
            let ready = ready_addresses(&slices).await;
            if ready == addresses {
                Ok(())
            } else {
                Err(format!("{ready:?}"))
            }
        })
        .await;
    let slice = &slices
        .list(&ListParams::default().labels("kubernetes.io/service-name=app"))
        .await
        .unwrap()
        .items[0];
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    let endpoints = cluster.api::<Endpoints>().get("app").await.unwrap();
    assert_eq!(
        endpoints.subsets.unwrap()[0]
            .addresses
            .as_ref()
            .unwrap()
            .len(),
        2
    );
    for pod in &pods {
        assert_eq!(get(ip(pod), 8080, "/").await.unwrap().0, 200);
    }
    cluster
        .event("app", "ScalingReplicaSet", "from 0 to 2")
        .await;
    let set = cluster
        .api::<ReplicaSet>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    cluster
        .event(&set.name_any(), "SuccessfulCreate", "Created pod: ")
        .await;
}

/// Sends requests to the ready endpoints continuously, like a proxy with a lag of `lag`.
fn send_requests(
    cluster: &Cluster,
    lag: Duration,
    done: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<(usize, Vec<String>)> {
    let slices = cluster.api::<EndpointSlice>();
    tokio::spawn(async move {
        let (mut asked, mut failed) = (0, Vec::new());
        while !done.load(Ordering::Relaxed) {
            let ready = ready_addresses(&slices).await;
            if ready.is_empty() {
                failed.push("no endpoint is ready".to_owned());
            }
            sleep(lag).await;
            for address in ready {
                asked += 1;
                if let Err(error) = get(address, 8080, "/").await {
                    failed.push(format!("{address}: {error}"));
                }
            }
        }
        (asked, failed)
    })
}

#[tokio::test]
async fn a_rolling_update_fails_no_request_and_keeps_its_pods_available() {
    // The default settle delay, which exceeds the lag on a busy host.
    let cluster = Cluster::start_with(|config| config.settle = Duration::from_secs(1)).await;
    cluster.build_image("app:2", &[("VERSION", "2")]);
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    create(&cluster, deployment(2, "app:1", &strategy)).await;
    settled(&cluster).await;
    let slices = cluster.api::<EndpointSlice>();
    cluster
        .until("endpoints", async || {
            if ready_addresses(&slices).await.len() == 2 {
                Ok(())
            } else {
                Err("none".into())
            }
        })
        .await;

    let done = Arc::new(AtomicBool::new(false));
    let asking = send_requests(&cluster, Duration::from_millis(50), done.clone());
    let (watching, pods, stop) = (done.clone(), cluster.api::<Pod>(), done.clone());
    let least = tokio::spawn(async move {
        let mut least = usize::MAX;
        while !watching.load(Ordering::Relaxed) {
            let all = pods.list(&ListParams::default()).await.unwrap().items;
            let ready = all
                .iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod))
                .count();
            least = least.min(ready);
            sleep(Duration::from_millis(5)).await;
        }
        least
    });
    patch(&cluster, image_patch("app:2")).await;
    settled(&cluster).await;
    cluster
        .until("the old pods to be removed", async || {
            let left = cluster.pods().await.len();
            if left == 2 {
                Ok(())
            } else {
                Err(left.to_string())
            }
        })
        .await;
    stop.store(true, Ordering::Relaxed);
    let (asked, failed) = asking.await.unwrap();
    assert!(
        failed.is_empty(),
        "{} of {asked} failed: {failed:?}",
        failed.len()
    );
    assert!(asked > 10, "only {asked} requests");
    assert!(
        least.await.unwrap() >= 2,
        "fewer pods were ready than allowed"
    );
    for pod in cluster.pods().await {
        assert_eq!(get(ip(&pod), 8080, "/").await.unwrap().1, "2");
    }
}

#[tokio::test]
async fn a_deleted_pod_is_unready_immediately_but_keeps_serving() {
    let cluster = Cluster::start_with(|config| config.settle = Duration::from_secs(2)).await;
    create(&cluster, deployment(1, "app:1", &Value::Null)).await;
    settled(&cluster).await;
    let slices = cluster.api::<EndpointSlice>();
    cluster
        .until("the endpoint", async || {
            if ready_addresses(&slices).await.len() == 1 {
                Ok(())
            } else {
                Err("none".into())
            }
        })
        .await;
    let pod = cluster.pods().await.remove(0);
    cluster
        .api::<Pod>()
        .delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until("the endpoint to become unready", async || {
            if ready_addresses(&slices).await.contains(&ip(&pod)) {
                Err("ready".into())
            } else {
                Ok(())
            }
        })
        .await;
    assert_eq!(
        get(ip(&pod), 8080, "/").await.unwrap().0,
        200,
        "it was stopped before its endpoint became unready"
    );
}

#[tokio::test]
async fn a_rollout_to_a_missing_image_keeps_the_old_pods() {
    let cluster = Cluster::start().await;
    create(&cluster, deployment(2, "app:1", &Value::Null)).await;
    settled(&cluster).await;
    let before: BTreeSet<String> = cluster
        .pods()
        .await
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    patch(&cluster, image_patch("absent:1")).await;
    let new = cluster
        .until("the new pod", async || {
            let pods = cluster.pods().await;
            pods.iter()
                .find(|pod| !before.contains(&pod.name_any()))
                .cloned()
                .ok_or_else(|| "none".to_owned())
        })
        .await;
    cluster
        .pod(&new.name_any(), |pod| {
            waiting_reason(pod).as_deref() == Some("ImagePullBackOff")
        })
        .await;
    let after: BTreeSet<String> = cluster
        .pods()
        .await
        .iter()
        .filter(|pod| is_ready(pod))
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(before, after);
    // Equivalent to `kubectl rollout undo`.
    patch(&cluster, image_patch("app:1")).await;
    settled(&cluster).await;
}

#[tokio::test]
async fn scaling_creates_exactly_the_missing_pods() {
    let cluster = Cluster::start().await;
    create(&cluster, deployment(1, "app:1", &Value::Null)).await;
    for replicas in [5, 2, 0, 3] {
        patch(&cluster, json!({"spec": {"replicas": replicas}})).await;
        settled(&cluster).await;
        cluster
            .until("the pods", async || {
                let alive = cluster.pods().await.len();
                if alive == usize::try_from(replicas).unwrap() {
                    Ok(())
                } else {
                    Err(alive.to_string())
                }
            })
            .await;
    }
    let events = cluster
        .api::<k8s_openapi::api::core::v1::Event>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let created: i32 = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("SuccessfulCreate"))
        .map(|event| event.count.unwrap())
        .sum();
    assert_eq!(created, 1 + 4 + 3, "a pod was created twice");
}

#[tokio::test]
async fn strategy_recreate_never_runs_two_versions() {
    let cluster = Cluster::start().await;
    cluster.build_image("app:2", &[]);
    create(
        &cluster,
        deployment(2, "app:1", &json!({"type": "Recreate"})),
    )
    .await;
    settled(&cluster).await;
    patch(&cluster, image_patch("app:2")).await;
    cluster
        .until("the new version", async || {
            let pods = cluster.pods().await;
            let images: BTreeSet<String> = pods
                .iter()
                .map(|pod| {
                    pod.spec.clone().unwrap().containers[0]
                        .image
                        .clone()
                        .unwrap()
                })
                .collect();
            assert!(images.len() <= 1, "{images:?}");
            if images.contains("app:2") && pods.iter().all(is_ready) {
                Ok(())
            } else {
                Err(format!("{images:?}"))
            }
        })
        .await;
}

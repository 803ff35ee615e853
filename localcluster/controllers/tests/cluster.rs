//! Integration tests of the controllers with the embedded API server. There is no kubelet: pods stay
//! Pending and are removed as soon as they are deleted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: helpers fail by panicking too"
)]

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    core::v1::{ConfigMap, Event, Namespace, Pod, ServiceAccount},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use localcluster_apiserver::{ApiServer, Config, admission::Quota};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

const DEADLINE: Duration = Duration::from_secs(30);

async fn start() -> (Client, DropGuard) {
    let server = ApiServer::open(Config::default()).await.unwrap();
    (server.client(), start_on(&server))
}

fn start_on(server: &ApiServer) -> DropGuard {
    let shutdown = CancellationToken::new();
    let (client, stop) = (server.client(), shutdown.clone());
    tokio::spawn(async move { localcluster_controllers::run(client, stop).await.unwrap() });
    shutdown.drop_guard()
}

async fn until<T>(what: &str, ask: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() > deadline => {
                panic!("timed out waiting for {what}; last seen: {seen}")
            }
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn create<K>(client: &Client, object: Value) -> K
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let object: K = serde_json::from_value(object).unwrap();
    let namespace = object.namespace().unwrap_or_else(|| "default".into());
    Api::namespaced(client.clone(), &namespace)
        .create(&PostParams::default(), &object)
        .await
        .unwrap()
}

async fn count<K>(client: &Client) -> usize
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), "default")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len()
}

async fn until_count<K>(client: &Client, wanted: usize)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    until(&format!("{wanted} {}", K::plural(&())), async || {
        let found = count::<K>(client).await;
        if found == wanted {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
}

fn deployment(namespace: &str) -> Value {
    json!({
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": {
            "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }},
    })
}

async fn make_namespace(client: &Client, name: &str) {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

#[tokio::test]
async fn deleting_a_deployment_deletes_its_dependents() {
    for params in [DeleteParams::background(), DeleteParams::foreground()] {
        let (client, _stop) = start().await;
        create::<Deployment>(&client, deployment("default")).await;
        until_count::<Pod>(&client, 3).await;
        Api::<Deployment>::namespaced(client.clone(), "default")
            .delete("app", &params)
            .await
            .unwrap();
        until_count::<Deployment>(&client, 0).await;
        until_count::<ReplicaSet>(&client, 0).await;
        until_count::<Pod>(&client, 0).await;
    }
}

#[tokio::test]
async fn orphans_remain_and_are_adopted_by_the_next_deployment() {
    let (client, _stop) = start().await;
    create::<Deployment>(&client, deployment("default")).await;
    until_count::<Pod>(&client, 3).await;
    Api::<Deployment>::namespaced(client.clone(), "default")
        .delete("app", &DeleteParams::orphan())
        .await
        .unwrap();
    until_count::<Deployment>(&client, 0).await;
    let set = Api::<ReplicaSet>::namespaced(client.clone(), "default")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert!(set.owner_references().is_empty());
    let again = create::<Deployment>(&client, deployment("default")).await;
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), "default");
    until("the adoption", async || {
        let all = sets.list(&ListParams::default()).await.unwrap().items;
        let adopted = all.len() == 1
            && all[0].uid() == set.uid()
            && all[0]
                .owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == again.metadata.uid.as_ref());
        if adopted {
            Ok(())
        } else {
            Err(format!(
                "{:?}",
                all.iter().map(|set| &set.metadata).collect::<Vec<_>>()
            ))
        }
    })
    .await;
    assert_eq!(count::<Pod>(&client).await, 3);
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_exactly_once() {
    let (client, _stop) = start().await;
    create::<Deployment>(&client, deployment("default")).await;
    until_count::<Pod>(&client, 3).await;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    for _ in 0..5 {
        let victim = pods
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .remove(0)
            .name_any();
        pods.delete(&victim, &DeleteParams::default())
            .await
            .unwrap();
        until("its replacement", async || {
            let names: Vec<String> = pods
                .list(&ListParams::default())
                .await
                .unwrap()
                .items
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            if names.len() == 3 && !names.contains(&victim) {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        })
        .await;
    }
    let events = Api::<Event>::namespaced(client.clone(), "default")
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let created: i32 = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("SuccessfulCreate"))
        .map(|event| event.count.unwrap())
        .sum();
    assert_eq!(created, 3 + 5);
}

#[tokio::test]
async fn a_quota_error_is_quoted_once() {
    let server = ApiServer::open(Config::default()).await.unwrap();
    let (client, _stop) = (server.client(), start_on(&server));
    server
        .admission()
        .set_quotas([Quota::new("default", "pods", 0)]);
    create::<Deployment>(&client, deployment("default")).await;
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), "default");
    let condition = until("the condition ReplicaFailure", async || {
        let found = sets.list(&ListParams::default()).await.unwrap().items;
        let mut statuses = found.iter().filter_map(|set| set.status.as_ref());
        let mut conditions = statuses.find_map(|status| status.conditions.clone());
        let condition = conditions.as_mut().and_then(Vec::pop);
        condition.ok_or_else(|| format!("{found:?}"))
    })
    .await;
    let message = condition.message.unwrap();
    let (start, pod) = (
        "Error creating: pods \"",
        message.split('"').nth(1).unwrap(),
    );
    let sentence = "is forbidden: exceeded quota: objects, requested: count/pods=1, used: count/pods=0, limited: \
                    count/pods=0";
    assert_eq!(message, format!("{start}{pod}\" {sentence}"));
    let events = Api::<Event>::namespaced(client, "default");
    let failed = ListParams::default().fields("reason=FailedCreate");
    until("the event", async || {
        let found = events.list(&failed).await.unwrap().items;
        let mut messages = found.iter().filter_map(|event| event.message.as_deref());
        let is_there = messages.any(|message| message.ends_with(sentence));
        is_there.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_namespace_gets_its_service_account_and_is_deleted_with_its_contents() {
    let (client, _stop) = start().await;
    make_namespace(&client, "shop").await;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "shop");
    until("the service account", async || {
        accounts
            .get_opt("default")
            .await
            .unwrap()
            .ok_or_else(|| "none".to_owned())
    })
    .await;
    create::<Deployment>(&client, deployment("shop")).await;
    create::<ConfigMap>(
        &client,
        json!({"metadata": {"name": "settings", "namespace": "shop"}}),
    )
    .await;
    create::<ConfigMap>(
        &client,
        json!({"metadata": {"name": "settings", "namespace": "default"}}),
    )
    .await;
    let pods = Api::<Pod>::namespaced(client.clone(), "shop");
    until("its pods", async || {
        if pods.list(&ListParams::default()).await.unwrap().items.len() == 3 {
            Ok(())
        } else {
            Err("fewer".into())
        }
    })
    .await;
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    until("the namespace to be removed", async || {
        match namespaces.get_opt("shop").await.unwrap() {
            None => Ok(()),
            Some(namespace) => Err(format!("{:?}", namespace.status)),
        }
    })
    .await;
    assert!(
        pods.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        count::<ConfigMap>(&client).await,
        1,
        "an object of another namespace was deleted"
    );
}

#[tokio::test]
async fn dependents_of_custom_resources_are_collected_but_never_too_early() {
    let (client, _stop) = start().await;
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }))
    .unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("example.com", "v1", "Widget"),
        "widgets",
    );
    let widgets: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let owner = until("the new kind", async || {
        widgets
            .create(
                &PostParams::default(),
                &DynamicObject::new("one", &resource),
            )
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    // Immediately, when the collector may not know the kind yet.
    let reference = json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": "one", "uid": owner.uid()}]);
    create::<ConfigMap>(
        &client,
        json!({"metadata": {"name": "owned", "ownerReferences": reference}}),
    )
    .await;
    create::<ConfigMap>(&client, json!({"metadata": {"name": "stale", "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Widget", "name": "one", "uid": "another"}]}})).await;
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "default");
    until(
        "the dependent of an absent owner to be removed",
        async || match maps.get_opt("stale").await.unwrap() {
            None => Ok(()),
            Some(_) => Err("there".into()),
        },
    )
    .await;
    assert!(maps.get_opt("owned").await.unwrap().is_some());
    widgets
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    until_count::<ConfigMap>(&client, 0).await;
}

#[tokio::test]
async fn objects_of_unhandled_kinds_get_an_event() {
    let (client, _stop) = start().await;
    create::<StatefulSet>(&client, json!({
        "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}},
    }))
    .await;
    let events = Api::<Event>::namespaced(client.clone(), "default");
    until("the event", async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let said = |event: &Event| {
            event.involved_object.kind.as_deref() == Some("StatefulSet")
                && event.reason.as_deref() == Some("Unsupported")
        };
        if all.iter().any(said) {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_rollback_by_template_reuses_the_old_replica_set() {
    let (client, _stop) = start().await;
    create::<Deployment>(&client, deployment("default")).await;
    until_count::<ReplicaSet>(&client, 1).await;
    let deployments = Api::<Deployment>::namespaced(client.clone(), "default");
    for (image, revision) in [("app:2", "2"), ("app:1", "3")] {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
        deployments
            .patch("app", &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .unwrap();
        until("the revision", async || {
            let now = deployments
                .get("app")
                .await
                .unwrap()
                .annotations()
                .get("deployment.kubernetes.io/revision")
                .cloned();
            if now.as_deref() == Some(revision) {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await;
    }
    assert_eq!(count::<ReplicaSet>(&client).await, 2);
}

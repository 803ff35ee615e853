//! How objects come to their end, and how clients that wait see it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::{Controller, watcher};
use kube::{Client, Error, ResourceExt};
use localcluster_apiserver::{ApiServer, Clock, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

async fn client() -> Client {
    ApiServer::open(Config::default()).await.unwrap().client()
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn map(name: &str) -> ConfigMap {
    object(json!({ "metadata": { "name": name } }))
}

fn code<T>(result: Result<T, Error>) -> u16 {
    match result {
        Err(Error::Api(status)) => status.code,
        Err(other) => panic!("no status: {other}"),
        Ok(_) => panic!("no error"),
    }
}

#[tokio::test]
async fn finalizers_hold_an_object_that_is_being_deleted() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    let mut held = map("a");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let deleting = api.get("a").await.unwrap();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    let add = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } });
    assert_eq!(
        code(
            api.patch("a", &PatchParams::default(), &Patch::Merge(&add))
                .await
        ),
        422
    );
    let release = json!({ "metadata": { "finalizers": [] } });
    api.patch("a", &PatchParams::default(), &Patch::Merge(&release))
        .await
        .unwrap();
    assert_eq!(code(api.get("a").await), 404);
}

#[tokio::test]
async fn propagation_and_preconditions_are_respected() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    let created = api.create(&PostParams::default(), &map("a")).await.unwrap();
    let other = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    assert_eq!(
        code(
            api.delete("a", &DeleteParams::default().preconditions(other))
                .await
        ),
        409
    );
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        dry_run: true,
        ..DeleteParams::default()
    };
    api.delete("a", &params).await.unwrap();
    assert_eq!(
        api.get("a").await.unwrap().resource_version(),
        created.resource_version()
    );
    let own = Preconditions {
        uid: created.uid(),
        resource_version: created.resource_version(),
    };
    let params = DeleteParams {
        dry_run: false,
        preconditions: Some(own),
        ..params
    };
    api.delete("a", &params).await.unwrap();
    let waiting = api.get("a").await.unwrap();
    assert_eq!(waiting.finalizers(), ["foregroundDeletion"]);
}

#[tokio::test]
async fn a_pod_that_runs_is_given_its_grace_period() {
    let api: Api<Pod> = Api::default_namespaced(client().await);
    let pod = |name: &str, node: Option<&str>| {
        object::<Pod>(json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": node,
                "containers": [{ "name": "c", "image": "i" }],
                "terminationGracePeriodSeconds": 7,
            },
        }))
    };
    api.create(&PostParams::default(), &pod("waiting", None))
        .await
        .unwrap();
    api.delete("waiting", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(code(api.get("waiting").await), 404);

    api.create(&PostParams::default(), &pod("running", Some("node")))
        .await
        .unwrap();
    api.delete("running", &DeleteParams::default())
        .await
        .unwrap();
    let ending = api.get("running").await.unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(7));
    api.delete("running", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert_eq!(code(api.get("running").await), 404);
}

#[tokio::test]
async fn a_namespace_ends_when_it_is_finalized() {
    let client = client().await;
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(
        &PostParams::default(),
        &object(json!({ "metadata": { "name": "n" } })),
    )
    .await
    .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
    maps.create(&PostParams::default(), &map("a"))
        .await
        .unwrap();
    api.delete("n", &DeleteParams::default()).await.unwrap();
    let mut ending = api.get("n").await.unwrap();
    assert_eq!(
        ending.status.as_ref().unwrap().phase.as_deref(),
        Some("Terminating")
    );
    assert_eq!(
        code(maps.create(&PostParams::default(), &map("b")).await),
        403
    );
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    ending.spec.as_mut().unwrap().finalizers = Some(Vec::new());
    let body = serde_json::to_vec(&ending).unwrap();
    let request = http::Request::put("/api/v1/namespaces/n/finalize")
        .body(body)
        .unwrap();
    client.request::<Value>(request).await.unwrap();
    assert_eq!(code(api.get("n").await), 404);
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    for name in ["a", "b", "c"] {
        let mut object = map(name);
        object
            .labels_mut()
            .insert("name".to_owned(), name.to_owned());
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let params = ListParams::default().labels("name in (a,b)");
    api.delete_collection(&DeleteParams::default(), &params)
        .await
        .unwrap();
    let left = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        left.items
            .iter()
            .map(ResourceExt::name_any)
            .collect::<Vec<_>>(),
        ["c"]
    );
}

#[tokio::test]
async fn metadata_alone_can_be_listed_and_watched() {
    let client = client().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut object = map("a");
    object.data = Some([("k".to_owned(), "v".to_owned())].into());
    api.create(&PostParams::default(), &object).await.unwrap();
    let list = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items[0].name_any(), "a");
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client);
    let mut stream = watcher(metadata, watcher::Config::default()).boxed();
    loop {
        match stream.next().await.unwrap().unwrap() {
            watcher::Event::InitApply(found) => break assert_eq!(found.name_any(), "a"),
            watcher::Event::Init => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A clock that follows tokio's.
fn tokio_clock() -> Clock {
    let start = tokio::time::Instant::now();
    let epoch: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    Clock::new(move || {
        let elapsed = SignedDuration::try_from(start.elapsed()).unwrap();
        epoch.checked_add(elapsed).unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn a_controller_lives_through_an_hour_in_no_time() {
    let config = Config {
        clock: tokio_clock(),
        ..Config::default()
    };
    let client = ApiServer::open(config).await.unwrap().client();
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    let runs = Arc::new(Mutex::new(0));
    let context = (api.clone(), runs.clone());
    let controller = Controller::new(api.clone(), watcher::Config::default());
    let reconcile = |object: Arc<ConfigMap>, context: Arc<(Api<ConfigMap>, Arc<Mutex<u32>>)>| async move {
        let (api, runs) = &*context;
        finalizer(api, "example.com/hold", object, |event| async move {
            if let Finalizer::Apply(_) = event {
                *runs.lock().unwrap() += 1;
            }
            Ok::<_, std::io::Error>(Action::requeue(Duration::from_secs(60)))
        })
        .await
    };
    let failed = |_: Arc<ConfigMap>, error: &kube::runtime::finalizer::Error<std::io::Error>, _| {
        panic!("{error}")
    };
    let stream = controller.run(reconcile, failed, Arc::new(context));
    let running = tokio::spawn(stream.for_each(|_| async {}));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(*runs.lock().unwrap() >= 58, "{runs:?}");
    let held = api.get("a").await.unwrap();
    assert_eq!(held.finalizers(), ["example.com/hold"]);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let deleting = api.get("a").await;
    if let Ok(deleting) = deleting {
        let at = deleting.metadata.deletion_timestamp.unwrap().0;
        assert_eq!(at.to_string(), "2024-01-01T01:00:00Z");
    }
    while api.get_opt("a").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn events_last_an_hour() {
    let config = Config {
        clock: tokio_clock(),
        ..Config::default()
    };
    let api: Api<Event> = Api::default_namespaced(ApiServer::open(config).await.unwrap().client());
    let event = json!({
        "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" },
    });
    api.create(&PostParams::default(), &object(event))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(
        api.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(
        api.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

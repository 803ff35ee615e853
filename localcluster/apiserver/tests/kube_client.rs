//! kube-rs on the in-process client.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Namespace, ObjectReference};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt};
use localcluster_apiserver::{ApiServer, Config};
use serde_json::json;

/// Long enough for a slow machine; tests end as soon as what they wait for is there.
const DEADLINE: Duration = Duration::from_secs(30);

async fn client() -> Client {
    ApiServer::open(Config::default()).await.unwrap().client()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "data": { "key": value },
    }))
    .unwrap()
}

fn code(error: Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        other => panic!("no status: {other}"),
    }
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    let created = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(api.get("a").await.unwrap().data, created.data);

    let mut stale = created.clone();
    let patch = json!({ "data": { "key": "2" } });
    let patched = api
        .patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    assert_ne!(patched.resource_version(), created.resource_version());
    stale.data = Some(BTreeMap::from([("key".to_owned(), "3".to_owned())]));
    let refused = api
        .replace("a", &PostParams::default(), &stale)
        .await
        .unwrap_err();
    assert_eq!(code(refused), 409);

    let again = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert_eq!(code(again), 409);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(api.get("a").await.unwrap_err()), 404);
}

#[tokio::test]
async fn lists_are_cut_into_pages_of_one_revision() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    for index in 0..5 {
        let object = config_map(&format!("cm-{index}"), "1");
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    api.delete("cm-4", &DeleteParams::default()).await.unwrap();
    let mut names: Vec<String> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut token = first.metadata.continue_;
    while let Some(next) = token.filter(|token| !token.is_empty()) {
        let params = ListParams::default().limit(2).continue_token(&next);
        let page = api.list(&params).await.unwrap();
        assert_eq!(
            page.metadata.resource_version,
            first.metadata.resource_version
        );
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_;
    }
    assert_eq!(names, ["cm-0", "cm-1", "cm-2", "cm-3", "cm-4"]);
    let selected = api
        .list(&ListParams::default().labels("app in (cm-1,cm-9)"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 1);
    let selected = api
        .list(&ListParams::default().fields("metadata.name!=cm-1"))
        .await
        .unwrap();
    assert_eq!(selected.items.len(), 3);
}

#[tokio::test]
async fn objects_need_their_namespace() {
    let client = client().await;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let refused = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert_eq!(code(refused), 404);
    let namespaces: Api<Namespace> = Api::all(client);
    assert_eq!(
        namespaces
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        4
    );
}

#[tokio::test]
async fn a_watch_shows_selected_objects_come_change_and_go() {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    let created = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    let start = created.resource_version().unwrap();
    let params = WatchParams::default().labels("app=a");
    let mut events = api.watch(&params, &start).await.unwrap().boxed();
    api.create(&PostParams::default(), &config_map("b", "1"))
        .await
        .unwrap();
    let patch = json!({ "data": { "key": "2" } });
    api.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    // Leaving the selection looks like a deletion.
    let patch = json!({ "metadata": { "labels": { "app": "other" } } });
    api.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let event = tokio::time::timeout(DEADLINE, events.try_next())
            .await
            .unwrap()
            .unwrap();
        seen.push(match event.unwrap() {
            WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
            WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(seen, ["modified a", "deleted a"]);
}

async fn watcher_sees_everything(config: watcher::Config) {
    let api: Api<ConfigMap> = Api::default_namespaced(client().await);
    api.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    let mut stream = watcher(api.clone(), config).boxed();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let event = tokio::time::timeout(DEADLINE, stream.try_next())
            .await
            .unwrap()
            .unwrap();
        let line = match event.unwrap() {
            watcher::Event::Init => "init".to_owned(),
            watcher::Event::InitApply(object) => format!("had {}", object.name_any()),
            watcher::Event::InitDone => {
                api.create(&PostParams::default(), &config_map("b", "1"))
                    .await
                    .unwrap();
                api.delete("a", &DeleteParams::default()).await.unwrap();
                "done".to_owned()
            }
            watcher::Event::Apply(object) => format!("apply {}", object.name_any()),
            watcher::Event::Delete(object) => format!("delete {}", object.name_any()),
        };
        seen.push(line);
    }
    assert_eq!(seen, ["init", "had a", "done", "apply b", "delete a"]);
}

#[tokio::test]
async fn a_watcher_lists_and_then_follows() {
    watcher_sees_everything(watcher::Config::default()).await;
}

#[tokio::test]
async fn a_watcher_streams_its_initial_list() {
    watcher_sees_everything(watcher::Config::default().streaming_lists()).await;
}

#[tokio::test]
async fn recorded_events_are_seen_in_both_views() {
    let client = client().await;
    let reporter = Reporter {
        controller: "tester".to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let reference = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        name: Some("a".to_owned()),
        namespace: Some("default".to_owned()),
        uid: Some("some-uid".to_owned()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Normal,
        reason: "Synced".to_owned(),
        note: Some("all is well".to_owned()),
        action: "Sync".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.unwrap();
    recorder.publish(&event, &reference).await.unwrap();
    let api: Api<CoreEvent> = Api::default_namespaced(client);
    let params = ListParams::default().fields("involvedObject.kind=ConfigMap,reason=Synced");
    let list = api.list(&params).await.unwrap();
    assert_eq!(list.items.len(), 1, "the second event counts up the first");
    assert_eq!(list.items[0].message.as_deref(), Some("all is well"));
    assert_eq!(
        list.items[0]
            .series
            .as_ref()
            .and_then(|series| series.count),
        Some(2)
    );
    assert_eq!(list.items[0].reporting_component.as_deref(), Some("tester"));
}

#[tokio::test]
async fn a_lease_goes_to_one_of_two_writers() {
    let api: Api<Lease> = Api::default_namespaced(client().await);
    let lease = |holder: &str| -> Lease {
        serde_json::from_value(json!({
            "metadata": { "name": "leader" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 },
        }))
        .unwrap()
    };
    let created = api
        .create(&PostParams::default(), &lease("a"))
        .await
        .unwrap();
    let mut first = lease("b");
    first.metadata.resource_version = created.resource_version();
    let mut second = lease("c");
    second.metadata.resource_version = created.resource_version();
    api.replace("leader", &PostParams::default(), &first)
        .await
        .unwrap();
    let lost = api
        .replace("leader", &PostParams::default(), &second)
        .await
        .unwrap_err();
    assert_eq!(code(lost), 409);
    let holder = api
        .get("leader")
        .await
        .unwrap()
        .spec
        .unwrap()
        .holder_identity;
    assert_eq!(holder.as_deref(), Some("b"));
}

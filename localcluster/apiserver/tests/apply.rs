//! Server-side apply through kube-rs.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use localcluster_apiserver::{ApiServer, Config};
use serde_json::{Value, json};

async fn client() -> Client {
    ApiServer::open(Config::default()).await.unwrap().client()
}

fn deployment(image: &str, replicas: Option<i32>) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "app" },
        "spec": {
            "selector": { "matchLabels": { "app": "app" } },
            "template": {
                "metadata": { "labels": { "app": "app" } },
                "spec": { "containers": [{
                    "name": "app", "image": image, "ports": [{ "containerPort": 80 }],
                }] },
            },
        },
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref().and_then(|spec| spec.replicas)
}

#[tokio::test]
async fn an_apply_creates_changes_and_does_nothing() {
    let api: Api<Deployment> = Api::default_namespaced(client().await);
    let params = PatchParams::apply("tester");
    let object = deployment("app:1", Some(2));
    let created = api
        .patch("app", &params, &Patch::Apply(&object))
        .await
        .unwrap();
    assert_eq!(replicas(&created), Some(2));
    let again = api
        .patch("app", &params, &Patch::Apply(&object))
        .await
        .unwrap();
    assert_eq!(
        again.metadata.resource_version,
        created.metadata.resource_version
    );
    let changed = api
        .patch("app", &params, &Patch::Apply(&deployment("app:2", Some(2))))
        .await
        .unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    // What is applied no longer goes back to its default.
    let dropped = api
        .patch("app", &params, &Patch::Apply(&deployment("app:2", None)))
        .await
        .unwrap();
    assert_eq!(replicas(&dropped), Some(1));
}

#[tokio::test]
async fn a_conflict_names_the_manager_and_the_field() {
    let api: Api<Deployment> = Api::default_namespaced(client().await);
    let object = deployment("app:1", Some(2));
    api.patch("app", &PatchParams::apply("one"), &Patch::Apply(&object))
        .await
        .unwrap();
    let other = deployment("app:1", Some(3));
    let refused = api
        .patch("app", &PatchParams::apply("two"), &Patch::Apply(&other))
        .await;
    let Err(Error::Api(status)) = refused else {
        panic!("no conflict")
    };
    assert_eq!(status.code, 409);
    assert_eq!(
        status.message,
        r#"Apply failed with 1 conflict: conflict with "one" using apps/v1: .spec.replicas"#
    );
    let details = status.details.unwrap();
    assert_eq!(details.causes[0].reason, "FieldManagerConflict");
    assert_eq!(details.causes[0].field, ".spec.replicas");
    let forced = PatchParams::apply("two").force();
    let taken = api
        .patch("app", &forced, &Patch::Apply(&other))
        .await
        .unwrap();
    assert_eq!(replicas(&taken), Some(3));
}

#[tokio::test]
async fn an_apply_needs_a_manager_and_known_fields() {
    let api: Api<Deployment> = Api::default_namespaced(client().await);
    let anonymous = PatchParams {
        field_manager: None,
        ..PatchParams::default()
    };
    let object = deployment("app:1", None);
    let refused = api.patch("app", &anonymous, &Patch::Apply(&object)).await;
    assert!(matches!(refused, Err(Error::Api(status)) if status.code == 422));
    let mut unknown = object;
    unknown["spec"]["replica"] = 3.into();
    let refused = api
        .patch("app", &PatchParams::apply("x"), &Patch::Apply(&unknown))
        .await;
    let Err(Error::Api(status)) = refused else {
        panic!("applied")
    };
    assert!(
        status
            .message
            .contains(".spec.replica: field not declared in schema"),
        "{status:?}"
    );
}

#[tokio::test]
async fn the_status_is_applied_apart_from_the_spec() {
    let api: Api<Deployment> = Api::default_namespaced(client().await);
    let object = deployment("app:1", Some(2));
    api.patch("app", &PatchParams::apply("one"), &Patch::Apply(&object))
        .await
        .unwrap();
    let status = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "app" },
        "spec": { "replicas": 7 },
        "status": { "replicas": 2 },
    });
    let applied = api
        .patch_status("app", &PatchParams::apply("two"), &Patch::Apply(&status))
        .await
        .unwrap();
    assert_eq!(replicas(&applied), Some(2));
    assert_eq!(applied.status.unwrap().replicas, Some(2));
    let again = api
        .patch("app", &PatchParams::apply("one"), &Patch::Apply(&object))
        .await
        .unwrap();
    assert_eq!(again.status.unwrap().replicas, Some(2));
}

//! CustomResourceDefinitions.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Error};
use localcluster_apiserver::{ApiServer, Config};
use serde_json::{Value, json};

async fn client() -> Client {
    ApiServer::open(Config::default()).await.unwrap().client()
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget", "shortNames": ["wd"] },
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                        },
                    },
                    "additionalPrinterColumns": [
                        { "name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas" },
                    ],
                    "schema": { "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": { "type": "integer", "minimum": 1 },
                                    "replicas": { "type": "integer", "default": 1 },
                                },
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": true,
                            },
                        },
                    } },
                },
                {
                    "name": "v1beta1", "served": true, "storage": false,
                    "schema": { "openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    } },
                },
            ],
        },
    })
}

fn widgets(client: &Client, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("example.com", version, "Widget");
    Api::default_namespaced_with(
        client.clone(),
        &ApiResource::from_gvk_with_plural(&kind, "widgets"),
    )
}

fn widget(name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

async fn install(client: &Client) -> Api<CustomResourceDefinition> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("tester");
    definitions
        .patch("widgets.example.com", &params, &Patch::Apply(definition()))
        .await
        .unwrap();
    let established = await_condition(
        definitions.clone(),
        "widgets.example.com",
        conditions::is_crd_established(),
    );
    established.await.unwrap();
    definitions
}

fn failure<T>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message.clone()),
        Err(other) => panic!("no status: {other}"),
        Ok(_) => panic!("no error"),
    }
}

#[tokio::test]
async fn custom_objects_are_defaulted_pruned_and_validated() {
    let client = client().await;
    install(&client).await;
    let api = widgets(&client, "v1");
    let created = api
        .create(
            &PostParams::default(),
            &widget("a", json!({ "size": 3, "x": 1 })),
        )
        .await
        .unwrap();
    assert_eq!(created.data["spec"], json!({ "size": 3, "replicas": 1 }));
    assert_eq!(created.metadata.generation, Some(1));
    let (code, message) = failure(
        api.create(&PostParams::default(), &widget("b", json!({ "size": 0 })))
            .await,
    );
    assert_eq!(code, 422);
    assert_eq!(
        message,
        r#"Widget.example.com "b" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"#
    );
    let (_, message) = failure(
        api.create(&PostParams::default(), &widget("b", json!({})))
            .await,
    );
    assert_eq!(
        message,
        r#"Widget.example.com "b" is invalid: spec.size: Required value"#
    );
}

#[tokio::test]
async fn spec_and_status_are_written_apart_and_scale_reaches_both() {
    let client = client().await;
    install(&client).await;
    let api = widgets(&client, "v1");
    api.create(&PostParams::default(), &widget("a", json!({ "size": 3 })))
        .await
        .unwrap();
    let both = json!({ "spec": { "size": 4 }, "status": { "replicas": 9, "free": { "x": 1 } } });
    let params = PatchParams::default();
    let main = api.patch("a", &params, &Patch::Merge(&both)).await.unwrap();
    assert_eq!(
        (&main.data["spec"]["size"], main.data.get("status")),
        (&json!(4), None)
    );
    assert_eq!(main.metadata.generation, Some(2));
    let status = api
        .patch_status("a", &params, &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(
        status.data["status"],
        json!({ "replicas": 9, "free": { "x": 1 } })
    );
    assert_eq!(status.metadata.generation, Some(2));
    let scale = json!({ "spec": { "replicas": 5 } });
    let scaled = api
        .patch_scale("a", &params, &Patch::Merge(&scale))
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(5));
    assert_eq!(scaled.status.unwrap().replicas, 9);
    assert_eq!(api.get("a").await.unwrap().data["spec"]["replicas"], 5);
    let strategic = api.patch("a", &params, &Patch::Strategic(&both)).await;
    assert_eq!(failure(strategic).0, 415);
}

#[tokio::test]
async fn all_served_versions_show_the_same_objects() {
    let client = client().await;
    install(&client).await;
    widgets(&client, "v1")
        .create(&PostParams::default(), &widget("a", json!({ "size": 3 })))
        .await
        .unwrap();
    let old = widgets(&client, "v1beta1").get("a").await.unwrap();
    assert_eq!(old.types.unwrap().api_version, "example.com/v1beta1");
    let unserved = widgets(&client, "v2").list(&ListParams::default()).await;
    assert_eq!(failure(unserved).0, 404);
}

#[tokio::test]
async fn a_definition_takes_its_objects_along() {
    let client = client().await;
    let definitions = install(&client).await;
    let api = widgets(&client, "v1");
    let mut held = widget("held", json!({ "size": 1 }));
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    api.create(
        &PostParams::default(),
        &widget("free", json!({ "size": 1 })),
    )
    .await
    .unwrap();
    definitions
        .delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    // It waits for the object that something holds.
    assert_eq!(
        api.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );
    let terminating = definitions.get("widgets.example.com").await.unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some());
    let refused = api
        .create(&PostParams::default(), &widget("new", json!({ "size": 1 })))
        .await;
    assert_eq!(failure(refused).0, 405);
    let release = json!({ "metadata": { "finalizers": null } });
    api.patch("held", &PatchParams::default(), &Patch::Merge(&release))
        .await
        .unwrap();
    assert_eq!(failure(api.list(&ListParams::default()).await).0, 404);
    assert_eq!(failure(definitions.get("widgets.example.com").await).0, 404);
}

#[tokio::test]
async fn a_definition_that_is_not_structural_is_refused() {
    let definitions: Api<CustomResourceDefinition> = Api::all(client().await);
    let mut bad = definition();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        .as_object_mut()
        .unwrap()
        .remove("type");
    let object = serde_json::from_value(bad).unwrap();
    let (code, message) = failure(definitions.create(&PostParams::default(), &object).await);
    assert_eq!(code, 422);
    assert!(
        message.contains(
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value"
        ),
        "{message}"
    );
}

/// The definition with these rules for `spec`.
fn ruled(rules: Value) -> Value {
    let mut definition = definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        rules;
    definition
}

/// Creates a definition; the answer's status and warnings.
async fn define(client: &Client, definition: &Value) -> (u16, String) {
    let request = http::Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .body(kube::client::Body::from(
            definition.to_string().into_bytes(),
        ))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let warnings = response.headers().get_all("warning").into_iter();
    let warnings: Vec<&str> = warnings.map(|text| text.to_str().unwrap()).collect();
    (response.status().as_u16(), warnings.join("; "))
}

#[tokio::test]
async fn fields_that_select_nothing_are_said_to_do_so() {
    let mut definition = definition();
    definition["spec"]["versions"][0]["selectableFields"] = json!([{ "jsonPath": ".spec.size" }]);
    let (_, warning) = define(&client().await, &definition).await;
    assert!(warning.contains("selectableFields are stored"), "{warning}");
}

#[tokio::test]
async fn validation_rules_hold_on_create_update_and_dry_run() {
    let client = client().await;
    let rules = json!([
        { "rule": "self.size < 10", "message": "is too large", "fieldPath": ".size" },
        { "rule": "self.size >= oldSelf.size", "message": "cannot shrink", "reason": "FieldValueForbidden" },
    ]);
    assert_eq!(define(&client, &ruled(rules)).await, (201, String::new()));
    let api = widgets(&client, "v1");
    let too_large = (
        422,
        "Widget.example.com \"a\" is invalid: spec.size: Invalid value: \"object\": is too large"
            .to_owned(),
    );
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for params in [&PostParams::default(), &dry_run] {
        let refused = api
            .create(params, &widget("a", json!({ "size": 10 })))
            .await;
        assert_eq!(failure(refused), too_large);
    }
    api.create(&PostParams::default(), &widget("a", json!({ "size": 5 })))
        .await
        .unwrap();
    let patch = async |size: i64| {
        let patch = json!({ "spec": { "size": size } });
        api.patch("a", &PatchParams::default(), &Patch::Merge(&patch))
            .await
    };
    assert_eq!(failure(patch(11).await), too_large);
    assert_eq!(
        failure(patch(4).await).1,
        "Widget.example.com \"a\" is invalid: spec: Forbidden: cannot shrink"
    );
    patch(6).await.unwrap();
    // A value of the wrong form is not given to the rules.
    let refused = api
        .create(&PostParams::default(), &widget("b", json!({})))
        .await;
    let (_, message) = failure(refused);
    assert!(
        message.contains("spec.size: Required value")
            && message.contains("some validation rules were not checked"),
        "{message}"
    );
}

#[tokio::test]
async fn rules_that_cannot_be_evaluated_are_named_when_the_definition_is_stored() {
    let client = client().await;
    let (code, _) = define(&client, &ruled(json!([{ "rule": "self.size <" }]))).await;
    assert_eq!(code, 422);
    let unknown = ruled(json!([{ "rule": "semver('1.0.0').major() == self.size" }]));
    let (code, warning) = define(&client, &unknown).await;
    assert_eq!(code, 201);
    assert!(
        warning.contains("properties[spec].x-kubernetes-validations[0].rule: not evaluated by this server, which does not have major, semver"),
        "{warning}"
    );
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let stored = definitions.get("widgets.example.com").await.unwrap();
    let conditions = stored.status.unwrap().conditions.unwrap();
    assert!(
        conditions
            .iter()
            .any(|c| c.type_ == "ValidationRulesEvaluated" && c.status == "False"),
        "{conditions:?}"
    );
    widgets(&client, "v1")
        .create(&PostParams::default(), &widget("a", json!({ "size": 5 })))
        .await
        .unwrap();
}

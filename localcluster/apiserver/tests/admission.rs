//! The switches for tests: quotas, denials, enforced owners, slow and failing answers.
#![allow(clippy::unwrap_used, clippy::panic)] // A test may fail.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use localcluster_apiserver::admission::{Answer, Denial, Failure, Operation, Quota, Refusal};
use localcluster_apiserver::{ApiServer, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn failure<T>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message.clone()),
        Err(other) => panic!("no status: {other}"),
        Ok(_) => panic!("no error"),
    }
}

fn map(name: &str) -> ConfigMap {
    object(json!({ "metadata": { "name": name }, "data": { "key": "value" } }))
}

fn tried() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

async fn open() -> ApiServer {
    ApiServer::open(Config::default()).await.unwrap()
}

/// Lets `jane` do these things in the default namespace, and nothing else.
async fn client_with(server: &ApiServer, rules: Value) -> Client {
    let roles: Api<Role> = Api::default_namespaced(server.client());
    let role = json!({ "metadata": { "name": "jane" }, "rules": rules });
    let params = PatchParams::apply("test").force();
    let role = Patch::Apply(
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": role["metadata"], "rules": role["rules"] }),
    );
    roles.patch("jane", &params, &role).await.unwrap();
    let bindings: Api<RoleBinding> = Api::default_namespaced(server.client());
    let binding = Patch::Apply(
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "jane" },
        "roleRef": { "kind": "Role", "name": "jane", "apiGroup": "rbac.authorization.k8s.io" },
        "subjects": [{ "kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io" }] }),
    );
    bindings.patch("jane", &params, &binding).await.unwrap();
    server.client_as("jane", &[])
}

#[tokio::test]
async fn a_quota_counts_objects_and_says_so_as_kubernetes_does() {
    let server = open().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    maps.create(&PostParams::default(), &map("one"))
        .await
        .unwrap();
    server
        .admission()
        .set_quotas([Quota::new("default", "configmaps", 1)]);
    let expected = r#"configmaps "two" is forbidden: exceeded quota: objects, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"#;
    for params in [PostParams::default(), tried()] {
        let refused = failure(maps.create(&params, &map("two")).await);
        assert_eq!(refused, (403, expected.to_owned()));
    }
    // Changes of what is there, other namespaces and other resources are not counted.
    let patch = Patch::Merge(json!({ "data": { "key": "other" } }));
    maps.patch("one", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let elsewhere: Api<ConfigMap> = Api::namespaced(server.client(), "kube-system");
    elsewhere
        .create(&PostParams::default(), &map("two"))
        .await
        .unwrap();
    server.admission().set_quotas([]);
    maps.create(&PostParams::default(), &map("two"))
        .await
        .unwrap();
}

#[tokio::test]
async fn denials_are_chosen_by_resource_name_and_operation() {
    let server = open().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let denial = Denial::by_webhook("configmaps", "no maps today").named("two");
    server
        .admission()
        .set_denials([denial.clone().on(Operation::Create)]);
    maps.create(&PostParams::default(), &map("one"))
        .await
        .unwrap();
    let expected = r#"admission webhook "deny.example.com" denied the request: no maps today"#;
    for params in [PostParams::default(), tried()] {
        let refused = failure(maps.create(&params, &map("two")).await);
        assert_eq!(refused, (403, expected.to_owned()));
    }
    server
        .admission()
        .set_denials([denial.clone().on(Operation::Delete)]);
    maps.create(&PostParams::default(), &map("two"))
        .await
        .unwrap();
    let refused = failure(maps.delete("two", &DeleteParams::default()).await);
    assert_eq!(refused, (403, expected.to_owned()));

    let policy = Refusal::PodSecurity {
        policy: "restricted:latest".to_owned(),
        why: r#"runAsNonRoot != true (pod or container "app" must set securityContext.runAsNonRoot=true)"#.to_owned(),
    };
    let refusal = Denial {
        refusal: policy,
        ..denial.clone()
    };
    server.admission().set_denials([refusal]);
    let patch = Patch::Merge(json!({ "data": { "key": "other" } }));
    let refused = failure(maps.patch("two", &PatchParams::default(), &patch).await);
    assert_eq!(
        refused.1,
        r#"configmaps "two" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "app" must set securityContext.runAsNonRoot=true)"#
    );

    let webhook = "effects.example.com".to_owned();
    let effects = Denial {
        refusal: Refusal::NoDryRun { webhook },
        ..Denial::by_webhook("configmaps", "")
    };
    server.admission().set_denials([effects]);
    let expected = r#"admission webhook "effects.example.com" does not support dry run"#;
    let refused = failure(maps.create(&tried(), &map("three")).await);
    assert_eq!(refused, (400, expected.to_owned()));
    maps.create(&PostParams::default(), &map("three"))
        .await
        .unwrap();
}

const UNDELETABLE: &str = r#"configmaps "owned" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"#;
const UNFINALIZABLE: &str = r#"configmaps "new" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"#;

fn owned(name: &str, owner: &Service, blocking: Option<bool>) -> ConfigMap {
    let metadata = &owner.metadata;
    let mut reference = json!({ "apiVersion": "v1", "kind": "Service", "name": metadata.name, "uid": metadata.uid });
    if let Some(blocking) = blocking {
        reference["blockOwnerDeletion"] = blocking.into();
    }
    object(json!({ "metadata": { "name": name, "ownerReferences": [reference] } }))
}

#[tokio::test]
async fn owners_are_set_by_those_who_may_delete_and_finalize() {
    let server = open().await;
    let services: Api<Service> = Api::default_namespaced(server.client());
    let service = json!({ "metadata": { "name": "owner" }, "spec": { "ports": [{ "port": 80 }] } });
    let owner = services
        .create(&PostParams::default(), &object(service))
        .await
        .unwrap();
    let mut rules = vec![
        json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"] }),
    ];
    let jane = client_with(&server, json!(rules)).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(jane);
    let create = PostParams::default();
    let merge = |value: Value| Patch::Merge(value);
    let change = PatchParams::default();
    let owners = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "v1", "kind": "Service", "name": "owner", "uid": owner.metadata.uid }] } });
    let nobody = json!({ "metadata": { "ownerReferences": null } });

    // Off: anything goes.
    maps.create(&create, &map("owned")).await.unwrap();
    maps.patch("owned", &change, &merge(owners.clone()))
        .await
        .unwrap();
    server.admission().set_enforces_owners(true);
    // A new object may have any owner; only one that blocks needs a right.
    maps.create(&create, &owned("free", &owner, None))
        .await
        .unwrap();
    maps.create(&create, &owned("open", &owner, Some(false)))
        .await
        .unwrap();
    for params in [&create, &tried()] {
        let refused = failure(maps.create(params, &owned("new", &owner, Some(true))).await);
        assert_eq!(refused, (403, UNFINALIZABLE.to_owned()));
    }
    // What leaves the owners as they are is free; taking them away is a change like any other.
    let labels = json!({ "metadata": { "labels": { "a": "b" }, "ownerReferences": owners["metadata"]["ownerReferences"] } });
    maps.patch("owned", &change, &merge(labels)).await.unwrap();
    let trial = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    for params in [&change, &trial] {
        let refused = failure(maps.patch("owned", params, &merge(nobody.clone())).await);
        assert_eq!(refused, (403, UNDELETABLE.to_owned()));
    }
    rules.push(json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete"], "resourceNames": ["owned"] }));
    rules.push(json!({ "apiGroups": [""], "resources": ["services/finalizers"], "verbs": ["update"], "resourceNames": ["owner"] }));
    client_with(&server, json!(rules)).await;
    maps.patch("owned", &change, &merge(nobody.clone()))
        .await
        .unwrap();
    maps.patch("owned", &change, &merge(owners.clone()))
        .await
        .unwrap();
    assert_eq!(
        failure(maps.patch("open", &change, &merge(nobody)).await).0,
        403
    );
    maps.create(&create, &owned("new", &owner, Some(true)))
        .await
        .unwrap();
    let unknown = json!({ "metadata": { "name": "lost", "ownerReferences": [{ "apiVersion": "example.com/v1",
        "kind": "Widget", "name": "w", "uid": "1", "blockOwnerDeletion": true }] } });
    assert_eq!(
        failure(maps.create(&create, &object(unknown)).await).1,
        r#"configmaps "lost" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion example.com/v1 Kind Widget: no matches for kind "Widget" in version "example.com/v1""#
    );
    // The administrator is allowed everything by the same authorizer.
    let admin: Api<ConfigMap> = Api::default_namespaced(server.client());
    admin.patch("open", &change, &merge(owners)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_are_slow_or_fail_for_the_chosen_requests() {
    let server = open().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let admission = server.admission();
    admission.set_answers([
        Answer::slow("list", "configmaps", Duration::from_secs(30)),
        Answer::failing("create", "configmaps", Failure::Status(503)).times(1),
        Answer::failing("get", "configmaps", Failure::page_not_found()).times(1),
        Answer::failing(
            "get",
            "/api/v1",
            Failure::Text(429, "Too many requests".to_owned()),
        )
        .times(1),
    ]);
    let start = tokio::time::Instant::now();
    maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let refused = failure(maps.create(&PostParams::default(), &map("one")).await);
    assert_eq!(
        refused,
        (
            503,
            "the server is currently unable to handle the request".to_owned()
        )
    );
    // It failed before it had any effect, and only once.
    maps.create(&PostParams::default(), &map("one"))
        .await
        .unwrap();
    let refused = failure(maps.get("one").await);
    assert_eq!(refused, (404, "404 page not found".to_owned()));
    let request = || http::Request::get("/api/v1").body(Vec::new()).unwrap();
    let refused = failure(server.client().request_text(request()).await);
    assert_eq!(refused, (429, "Too many requests".to_owned()));
    server.client().request_text(request()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(30));

    let lost = Answer::failing("create", "configmaps", Failure::Status(504)).after_its_effect();
    admission.set_answers([lost]);
    let refused = failure(maps.create(&PostParams::default(), &map("two")).await);
    assert_eq!(refused.0, 504);
    maps.get("two").await.unwrap();
}

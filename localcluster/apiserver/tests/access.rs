//! Authentication and role-based access control.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

mod common;

use std::sync::Arc;

use common::Served;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Error;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use localcluster_apiserver::{ApiServer, Config, pki::Authority};
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

#[tokio::test]
async fn a_role_allows_what_it_lists_in_its_namespace() {
    let server = ApiServer::open(Config::default()).await.unwrap();
    let admin = server.client();
    let user = server.client_as("jane", &["developers"]);
    let maps: Api<ConfigMap> = Api::default_namespaced(user.clone());
    let (code, message) = failure(maps.list(&ListParams::default()).await);
    assert_eq!(code, 403);
    assert_eq!(
        message,
        r#"configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default""#
    );
    let roles: Api<Role> = Api::default_namespaced(admin.clone());
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }],
    });
    roles
        .create(&PostParams::default(), &object(role))
        .await
        .unwrap();
    let bindings: Api<RoleBinding> = Api::default_namespaced(admin);
    let binding = json!({
        "metadata": { "name": "readers" },
        "roleRef": { "kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io" },
        "subjects": [{ "kind": "Group", "name": "developers" }],
    });
    bindings
        .create(&PostParams::default(), &object(binding))
        .await
        .unwrap();
    assert!(
        maps.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        failure(maps.delete("a", &DeleteParams::default()).await).0,
        403
    );
    let elsewhere: Api<ConfigMap> = Api::namespaced(user.clone(), "kube-system");
    assert_eq!(failure(elsewhere.list(&ListParams::default()).await).0, 403);

    let reviews: Api<SelfSubjectAccessReview> = Api::all(user);
    let ask = |verb: &str| {
        object::<SelfSubjectAccessReview>(json!({ "spec": { "resourceAttributes": {
            "verb": verb, "resource": "configmaps", "namespace": "default",
        } } }))
    };
    for (verb, allowed) in [("list", true), ("delete", false)] {
        let answer = reviews
            .create(&PostParams::default(), &ask(verb))
            .await
            .unwrap();
        assert_eq!(answer.status.unwrap().allowed, allowed, "{verb}");
    }
}

#[tokio::test]
async fn the_role_view_is_aggregated_and_hides_secrets() {
    let server = ApiServer::open(Config::default()).await.unwrap();
    let bindings: Api<RoleBinding> = Api::default_namespaced(server.client());
    let binding = json!({
        "metadata": { "name": "viewers" },
        "roleRef": { "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "User", "name": "jane" }],
    });
    bindings
        .create(&PostParams::default(), &object(binding))
        .await
        .unwrap();
    let jane = server.client_as("jane", &[]);
    let pods: Api<Pod> = Api::default_namespaced(jane.clone());
    assert!(pods.list(&ListParams::default()).await.is_ok());
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::default_namespaced(jane);
    assert_eq!(failure(secrets.list(&ListParams::default()).await).0, 403);
}

#[tokio::test]
async fn tokens_say_who_asks_over_tls() {
    let served = Served::start().await;
    let admin = served.client(served.server.admin_token()).await;
    assert_eq!(
        admin.apiserver_version().await.unwrap().git_version,
        "v1.33.0+localcluster"
    );
    let accounts: Api<ServiceAccount> = Api::default_namespaced(admin);
    accounts
        .create(
            &PostParams::default(),
            &object(json!({ "metadata": { "name": "app" } })),
        )
        .await
        .unwrap();
    let request: TokenRequest =
        object(json!({ "spec": { "audiences": [], "expirationSeconds": 600 } }));
    let issued = accounts
        .create_token_request("app", &PostParams::default(), &request)
        .await
        .unwrap();
    let token = issued.status.unwrap().token;
    let app = served.client(&token).await;
    let reviews: Api<SelfSubjectReview> = Api::all(app.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    assert_eq!(
        user.username.as_deref(),
        Some("system:serviceaccount:default:app")
    );
    assert_eq!(
        user.groups.unwrap(),
        [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ]
    );
    // The token ends with its account.
    accounts
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(app);
    assert_eq!(failure(maps.list(&ListParams::default()).await).0, 401);
    let stranger: Api<ConfigMap> = Api::default_namespaced(served.client("guessed").await);
    assert_eq!(
        failure(stranger.list(&ListParams::default()).await),
        (401, "Unauthorized".to_owned())
    );
}

#[tokio::test]
async fn requests_are_counted_by_verb_and_user() {
    let server = ApiServer::open(Config::default()).await.unwrap();
    let maps: Api<ConfigMap> =
        Api::default_namespaced(server.client_as("jane", &["system:masters"]));
    maps.list(&ListParams::default()).await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = server.client().request_text(request).await.unwrap();
    let line = r#"apiserver_request_total{code="200",group="",resource="configmaps",subresource="",user="jane",verb="LIST",version="v1"} 2"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_new_start_keeps_the_authority_and_the_objects() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: Some(directory.path().join("store")),
        ..Config::default()
    };
    let first = ApiServer::open(config.clone()).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(first.client());
    let kept = maps
        .create(
            &PostParams::default(),
            &object(json!({ "metadata": { "name": "kept" } })),
        )
        .await
        .unwrap();
    let token = first.admin_token().to_owned();
    drop((maps, first));
    let second = loop {
        match ApiServer::open(config.clone()).await {
            Ok(server) => break server,
            // Tasks of the first client still hold the store for a moment.
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(second.admin_token(), token);
    let maps: Api<ConfigMap> = Api::default_namespaced(second.client());
    let found = maps.get("kept").await.unwrap();
    assert_eq!(found.metadata.uid, kept.metadata.uid);
    assert_eq!(
        found.metadata.resource_version,
        kept.metadata.resource_version
    );
    // A watch from before the restart is told to list again.
    let version = kept.metadata.resource_version.unwrap();
    let params = kube::api::WatchParams::default();
    let events = maps.watch(&params, &version).await.unwrap();
    let first_event = futures::TryStreamExt::try_next(&mut Box::pin(events))
        .await
        .unwrap();
    assert!(
        matches!(&first_event, Some(kube::api::WatchEvent::Error(status)) if status.code == 410),
        "{first_event:?}"
    );
    let authority = Authority::open(&directory.path().join("pki")).unwrap();
    let again = Authority::open(&directory.path().join("pki")).unwrap();
    assert_eq!(authority.certificate_pem(), again.certificate_pem());
    assert!(Arc::strong_count(&again.server_config(&[]).unwrap()) == 1);
}

#[tokio::test]
async fn acting_as_somebody_else_needs_a_right_of_its_own() {
    let server = ApiServer::open(Config::default()).await.unwrap();
    let whoami = |client: kube::Client| async move {
        let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
            .header("impersonate-user", "jane")
            .header("impersonate-group", "developers")
            .body(b"{}".to_vec())
            .unwrap();
        client.request::<SelfSubjectReview>(request).await
    };
    let review = whoami(server.client()).await.unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.as_deref(), Some("jane"));
    assert_eq!(user.groups.unwrap(), ["developers", "system:authenticated"]);
    let (code, message) = failure(whoami(server.client_as("joe", &[])).await);
    assert_eq!(code, 403);
    assert!(
        message.contains(r#"User "joe" cannot impersonate resource "users""#),
        "{message}"
    );
}

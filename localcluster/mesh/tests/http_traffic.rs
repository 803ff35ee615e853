//! Requests that `HTTPRoute`s route through a real Envoy. Requires Envoy on the `PATH` or in `ENVOY`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/http_routes.rs"]
mod http_routes;
#[path = "support/requests.rs"]
mod requests;

use cluster::*;
use http_routes::*;
use hyper::{Method, StatusCode};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use localcluster_mesh::gateway_api::Gateway;
use requests::*;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn matches_and_filters_behave_as_the_gateway_api_specifies() {
    let to = |name: &str| json!([{ "name": name, "port": 80 }]);
    let rewrite = |path: Value| json!([{ "type": "URLRewrite", "urlRewrite": { "path": path } }]);
    let prefix = |new: &str| json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": new });
    let matches = |path: &str| json!([{ "path": { "value": path } }]);
    let redirect = |to: Value| json!([{ "type": "RequestRedirect", "requestRedirect": to }]);
    let (cluster, _, canary) = start(json!([
        { "backendRefs": to("app-primary") },
        { "matches": [{ "path": { "value": "/api/" } }], "backendRefs": to("app-canary") },
        { "matches": [{ "path": { "type": "Exact", "value": "/api/old" } }], "backendRefs": to("app-primary") },
        { "matches": [{ "headers": [{ "name": "X-Canary", "value": "insider" }] }, { "queryParams": [{ "name": "beta", "value": "1" }] }], "backendRefs": to("app-canary") },
        { "matches": matches("/strip"), "filters": rewrite(prefix("/")), "backendRefs": to("app-primary") },
        { "matches": matches("/new"), "filters": rewrite(prefix("/newer")), "backendRefs": to("app-primary") },
        { "matches": matches("/full"), "filters": rewrite(json!({ "type": "ReplaceFullPath", "replaceFullPath": "/all" })), "backendRefs": to("app-primary") },
        { "matches": matches("/moved"), "filters": redirect(json!({ "hostname": "other.example.com", "path": prefix("/there"), "statusCode": 301 })) },
        { "matches": matches("/secure"), "filters": redirect(json!({ "scheme": "https", "port": 8443 })) },
        { "matches": matches("/mirror"), "filters": [{ "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "app-canary", "port": 80 } } }], "backendRefs": to("app-primary") },
        { "matches": matches("/slow"), "timeouts": { "request": "100ms" }, "backendRefs": to("app-primary") },
        { "matches": matches("/headers"), "filters": [
            { "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "x-a", "value": "100%" }], "remove": ["x-b"] } },
            { "type": "ResponseHeaderModifier", "responseHeaderModifier": { "set": [{ "name": "x-c", "value": "c" }] } },
        ], "backendRefs": [{ "name": "app-primary", "port": 80, "filters": [
            { "type": "ResponseHeaderModifier", "responseHeaderModifier": { "add": [{ "name": "x-d", "value": "d" }] } },
        ] }] },
        { "matches": matches("/nobody"), "backendRefs": [{ "name": "app-primary", "port": 80, "weight": 0 }] },
    ])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        get_with(cluster.proxy, &format!("http://app{path}"), headers).await
    };
    for (path, header, name) in [
        ("/", ("x-x", "x"), "primary"),
        ("/api", ("x-x", "x"), "canary"),
        ("/api/new", ("x-x", "x"), "canary"),
        ("/api/old", ("x-x", "x"), "primary"),
        // A prefix consists of path elements, not characters.
        ("/apis", ("x-x", "x"), "primary"),
        ("/", ("x-canary", "insider"), "canary"),
        ("/?beta=1", ("x-x", "x"), "canary"),
        ("/?beta=2", ("x-x", "x"), "primary"),
    ] {
        assert_eq!(ask(path, &[header]).await.from(), name, "{path} {header:?}");
    }
    for (path, seen) in [
        ("/strip/a?q=1", "/a"),
        ("/strip", "/"),
        ("/new/a", "/newer/a"),
        ("/newer", "/newer"),
        ("/full/a/b", "/all"),
    ] {
        assert_eq!(ask(path, &[]).await.json()["path"], seen, "{path}");
    }
    for (path, status, location) in [
        ("/moved/a?q=1", 301, "http://other.example.com/there/a?q=1"),
        ("/secure/a", 302, "https://app:8443/secure/a"),
    ] {
        let answer = ask(path, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.headers["location"], location, "{path}");
    }
    let before = canary.count();
    assert_eq!(ask("/mirror", &[]).await.from(), "primary");
    eventually("the mirrored request", || async {
        canary.count() == before + 1
    })
    .await;
    assert_eq!(ask("/slow", &[]).await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(
        ask("/nobody", &[]).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let answer = ask("/headers", &[("x-b", "b")]).await;
    assert_eq!(
        (&answer.headers["x-c"], &answer.headers["x-d"]),
        (&"c".parse().unwrap(), &"d".parse().unwrap())
    );
    let seen = &answer.json()["headers"];
    assert_eq!((&seen["x-a"], &seen["x-b"]), (&json!("100%"), &Value::Null));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_admits_the_hosts_that_route_and_listener_have_in_common() {
    let (cluster, ..) = start(json!([{ "backendRefs": backends(0, 1) }])).await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    // A route without host names gets all hosts of its listener.
    assert_eq!(
        get(cluster.ingress, "http://anything.test/").await.from(),
        "canary"
    );
    let gateways: Api<Gateway> = Api::namespaced(cluster.client.clone(), "default");
    let listener =
        json!({ "name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.example.com" });
    let patch = Patch::Merge(json!({ "spec": { "listeners": [listener] } }));
    gateways
        .patch("app", &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually("the narrower listener", || async {
        // An unclaimed host goes to the default Service, which has the same routes, so a request shows no difference.
        let routes = localcluster_shared::http::request(
            Method::GET,
            cluster.admin,
            "/config_dump?resource=dynamic_route_configs",
        )
        .await;
        String::from_utf8_lossy(&routes.unwrap().1).contains("*.example.com")
    })
    .await;
    cluster
        .set_route(json!({ "hostnames": ["shop.example.com"] }))
        .await;
    cluster.wait_for_status(&[ACCEPTED, ACCEPTED]).await;
    assert_eq!(
        get(cluster.ingress, "http://shop.example.com/")
            .await
            .from(),
        "canary"
    );
    cluster
        .set_route(json!({ "hostnames": ["shop.test"] }))
        .await;
    let unmatched = [
        "False",
        "NoMatchingListenerHostname",
        "True",
        "ResolvedRefs",
    ];
    cluster.wait_for_status(&[ACCEPTED, unmatched]).await;
    cluster.stop().await;
}

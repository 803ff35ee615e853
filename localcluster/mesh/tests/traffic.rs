//! Requests through a real Envoy. Requires Envoy on the `PATH` or in `ENVOY`.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/requests.rs"]
mod requests;

use std::time::Instant;

use cluster::*;
use hyper::{Method, StatusCode};
use requests::*;
use serde_json::json;

fn percent(answers: &std::collections::BTreeMap<String, usize>, name: &str) -> f64 {
    let total: usize = answers.values().sum();
    100.0 * *answers.get(name).unwrap_or(&0) as f64 / total as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_split_by_weight_at_proxy_and_ingress() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(80, 20) }])));
    let started = Instant::now();
    let cluster = Cluster::start(&objects).await;
    eprintln!("Envoy is ready after {:?}", started.elapsed());
    let answers = split(cluster.proxy, "http://app.default:80/", 10_000).await;
    assert!(
        (percent(&answers, "canary") - 20.0).abs() < 3.0,
        "{answers:?}"
    );
    // The ingress uses the same weights for any host.
    let answers = split(cluster.ingress, "http://localhost:8080/", 10_000).await;
    assert!(
        (percent(&answers, "canary") - 20.0).abs() < 3.0,
        "{answers:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_change_under_load_without_a_failed_request() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.push(virtual_service(json!([{ "route": destinations(100, 0) }])));
    let cluster = Cluster::start(&objects).await;
    let load = Load::start(cluster.proxy, "http://app/", Method::POST, 4);
    load.run_for(200).await;
    for weight in [10, 50, 100, 0] {
        let before = canary.count();
        let changed = Instant::now();
        cluster.set_weights(100 - weight, weight).await;
        if weight == 10 {
            eventually("the first request to reach the canary", || async {
                canary.count() > before
            })
            .await;
            eprintln!(
                "the first request reached the canary after {:?}",
                changed.elapsed()
            );
        }
        eventually("the new weights to take effect", || async {
            let answers = split(cluster.proxy, "http://app/", 400).await;
            (percent(&answers, "canary") - f64::from(weight)).abs() < 8.0
        })
        .await;
        let answers = split(cluster.proxy, "http://app/", 2_000).await;
        let difference = percent(&answers, "canary") - f64::from(weight);
        assert!(difference.abs() < 6.0, "{weight}: {answers:?}");
    }
    let tally = load.stop().await;
    assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_come_and_go_under_load_without_a_failed_request() {
    let (primary, canary) = pair().await;
    let objects = canary_objects(&primary, &canary);
    let cluster = Cluster::start(&objects).await;
    let load = Load::start(
        cluster.proxy,
        "http://app-primary.default.svc.cluster.local/",
        Method::GET,
        8,
    );
    let mut last = primary;
    for name in ["second", "third", "fourth", "fifth", "sixth"] {
        let next = Backend::start(name).await;
        cluster.create(next.slice("app-primary")).await;
        eventually("requests to the new endpoint", || async {
            next.count() > 50
        })
        .await;
        // As with a real kubelet, the endpoint is removed at the moment when the server stops.
        let slice = format!("app-primary-{}", last.name);
        tokio::join!(
            cluster.delete("discovery.k8s.io/v1", "EndpointSlice", &slice),
            last.stop()
        );
        load.run_for(100).await;
        last = next;
    }
    let tally = load.stop().await;
    assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_the_statistics_of_a_cluster_under_load_fails_no_request() {
    let (primary, canary) = pair().await;
    let objects: Vec<_> = canary_objects(&primary, &canary)
        .into_iter()
        .filter(|object| object["kind"] != "Pod")
        .collect();
    let cluster = Cluster::start(&objects).await;
    let load = Load::start(cluster.proxy, "http://app-primary/", Method::POST, 8);
    load.run_for(200).await;
    // The prefix of the statistics is part of the cluster's definition, so Envoy replaces the cluster.
    cluster.create(primary.pod("app-primary")).await;
    eventually("statistics with the name of the workload", || async {
        let (_, body) = localcluster_shared::http::request(Method::GET, cluster.admin, "/stats/prometheus")
            .await
            .unwrap();
        String::from_utf8_lossy(&body).contains(r#"envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="app-primary|default|80|app-primary|destination"}"#)
    })
    .await;
    let tally = load.stop().await;
    assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_a_service_works_and_an_unknown_name_is_explained() {
    let (primary, canary) = pair().await;
    let cluster = Cluster::start(&canary_objects(&primary, &canary)).await;
    for name in [
        "app",
        "app.default",
        "app.default.svc",
        "app.default.svc.cluster.local",
    ] {
        for port in ["", ":80"] {
            let answer = get(cluster.proxy, &format!("http://{name}{port}/")).await;
            assert_eq!(answer.from(), "primary", "{name}{port}: {}", answer.body);
            let host = format!("{name}{port}");
            let answer = get_with(cluster.ingress, "/", &[("host", &host)]).await;
            assert_eq!(answer.from(), "primary", "{host} at the ingress");
        }
    }
    let answer = get(cluster.proxy, "http://nobody.default/").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(
        answer.body.contains("named nobody.default"),
        "{}",
        answer.body
    );
    cluster
        .delete("discovery.k8s.io/v1", "EndpointSlice", "app-canary-canary")
        .await;
    eventually("the explanation that no pod is ready", || async {
        let answer = get(cluster.proxy, "http://app-canary/").await;
        answer.status == StatusCode::SERVICE_UNAVAILABLE
            && answer.body.contains("no pod behind app-canary")
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn matches_rewrites_retries_timeouts_faults_and_mirrors_take_effect() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    let to_primary = json!([{ "destination": { "host": "app-primary" } }]);
    let to_canary = json!([{ "destination": { "host": "app-canary" } }]);
    objects.push(virtual_service(json!([
        { "match": [{ "headers": { "x-canary": { "exact": "insider" } } }], "route": to_canary },
        { "match": [{ "withoutHeaders": { "x-known": { "exact": "yes" } }, "uri": { "prefix": "/stranger" } }], "route": to_canary },
        { "match": [{ "queryParams": { "beta": { "exact": "1" } } }], "route": to_canary },
        { "match": [{ "uri": { "exact": "/CASE" }, "ignoreUriCase": true, "method": { "regex": "G.T" } }],
          "rewrite": { "uri": "/rewritten", "authority": "inner.test" }, "route": to_primary },
        { "match": [{ "uri": { "regex": "/v[0-9]+/x" } }],
          "rewrite": { "uriRegexRewrite": { "match": "^/v([0-9]+)", "rewrite": "/version-\\1" } }, "route": to_primary },
        { "match": [{ "uri": { "prefix": "/flaky" } }],
          "retries": { "attempts": 3, "retryOn": "5xx", "retryIgnorePreviousHosts": false }, "route": to_primary },
        { "match": [{ "uri": { "exact": "/slow" } }], "timeout": "50ms", "route": to_primary },
        { "match": [{ "uri": { "prefix": "/abort" } }],
          "fault": { "abort": { "httpStatus": 418, "percentage": { "value": 100 } } }, "route": to_primary },
        { "match": [{ "uri": { "prefix": "/delay" } }],
          "fault": { "delay": { "fixedDelay": "2s", "percentage": { "value": 100 } } }, "route": to_primary },
        { "match": [{ "uri": { "prefix": "/mirror" } }], "mirror": { "host": "app-canary" }, "route": to_primary },
        { "match": [{ "uri": { "prefix": "/headers" } }],
          "headers": { "request": { "set": { "x-set": "100%" } }, "response": { "add": { "x-added": "a" } } },
          "route": [{ "destination": { "host": "app-canary" }, "weight": 100,
                      "headers": { "response": { "add": { "Set-Cookie": "flagger-cookie=abc; Max-Age=60" } } } },
                    { "destination": { "host": "app-primary" }, "weight": 0 }] },
        { "match": [{ "uri": { "exact": "/redirect" } }], "redirect": { "uri": "/there", "redirectCode": 308 } },
        { "match": [{ "uri": { "exact": "/teapot" } }], "directResponse": { "status": 418, "body": { "string": "short" } } },
        { "match": [{ "uri": { "exact": "/nowhere" } }], "route": [{ "destination": { "host": "nowhere" } }] },
        { "route": to_primary },
    ])));
    let cluster = Cluster::start(&objects).await;
    let at = |path: &str| format!("http://app{path}");
    let proxy = cluster.proxy;

    assert_eq!(
        get_with(proxy, &at("/"), &[("x-canary", "insider")])
            .await
            .from(),
        "canary"
    );
    assert_eq!(
        get_with(proxy, &at("/"), &[("x-canary", "other")])
            .await
            .from(),
        "primary"
    );
    assert_eq!(get(proxy, &at("/stranger")).await.from(), "canary");
    assert_eq!(
        get_with(proxy, &at("/stranger"), &[("x-known", "yes")])
            .await
            .from(),
        "primary"
    );
    assert_eq!(get(proxy, &at("/?beta=1")).await.from(), "canary");
    let rewritten = get(proxy, &at("/case")).await.json();
    assert_eq!(rewritten["path"], "/rewritten");
    assert_eq!(rewritten["headers"]["host"], "inner.test");
    assert_eq!(
        get(proxy, &at("/v12/x")).await.json()["path"],
        "/version-12/x"
    );

    let before = primary.count();
    assert_eq!(get(proxy, &at("/flaky")).await.status, StatusCode::OK);
    assert!((1..=3).contains(&(primary.count() - before)));
    assert_eq!(
        get(proxy, &at("/slow")).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(
        get(proxy, &at("/abort")).await.status,
        StatusCode::IM_A_TEAPOT
    );
    // Other requests overtake the delayed one.
    let url = at("/delay");
    let delayed = tokio::spawn(async move { get(proxy, &url).await.from().to_owned() });
    for _ in 0..20 {
        assert_eq!(get(proxy, &at("/")).await.from(), "primary");
    }
    assert!(!delayed.is_finished());
    assert_eq!(delayed.await.unwrap(), "primary");

    let before = canary.count();
    assert_eq!(get(proxy, &at("/mirror")).await.from(), "primary");
    eventually("the mirrored request", || async {
        canary.count() == before + 1
    })
    .await;

    let answer = get(proxy, &at("/headers")).await;
    assert_eq!(
        answer.headers["set-cookie"],
        "flagger-cookie=abc; Max-Age=60"
    );
    assert_eq!(answer.headers["x-added"], "a");
    assert_eq!(answer.json()["headers"]["x-set"], "100%");
    let answer = get(proxy, &at("/redirect")).await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(answer.headers["location"], "http://app/there");
    let answer = get(proxy, &at("/teapot")).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (StatusCode::IM_A_TEAPOT, "short")
    );
    let answer = get(proxy, &at("/nowhere")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("does not exist"), "{}", answer.body);
    cluster
        .wait_for_event(
            "app",
            "Unresolved",
            "Service nowhere.default does not exist",
        )
        .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_and_subsets_route_to_their_pods() {
    let (primary, canary) = pair().await;
    let mut objects = canary_objects(&primary, &canary);
    objects.extend([
        canary.slice("app"),
        json!({ "apiVersion": ISTIO, "kind": "Gateway",
            "metadata": { "name": "public", "namespace": "default" },
            "spec": { "selector": { "istio": "ingressgateway" }, "servers": [
                { "port": { "number": 80, "name": "http", "protocol": "HTTP" }, "hosts": ["*.example.com"] } ] } }),
        json!({ "apiVersion": ISTIO, "kind": "DestinationRule",
            "metadata": { "name": "app", "namespace": "default" },
            "spec": { "host": "app", "subsets": [{ "name": "new", "labels": { "version": "canary" } }] } }),
        json!({ "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
            "metadata": { "name": "shop", "namespace": "default" },
            "spec": { "hosts": ["shop.example.com"], "gateways": ["public"], "http": [
                { "route": [{ "destination": { "host": "app", "subset": "new" } }] } ] } }),
    ]);
    let cluster = Cluster::start(&objects).await;
    for host in ["shop.example.com", "shop.example.com:8080"] {
        for _ in 0..10 {
            let answer = get_with(cluster.ingress, "/", &[("host", host)]).await;
            assert_eq!(answer.from(), "canary", "{}", answer.body);
        }
    }
    let inside = get(cluster.proxy, "http://shop.example.com/").await;
    assert_eq!(
        inside.status,
        StatusCode::BAD_GATEWAY,
        "the route must apply only to the gateway"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_reachable_only_while_they_exist() {
    let (primary, canary) = pair().await;
    let cluster = Cluster::start(&canary_objects(&primary, &canary)).await;
    let load = Load::start(cluster.proxy, "http://app/", Method::POST, 4);
    for _ in 0..5 {
        cluster.create(service("other")).await;
        cluster.create(canary.slice("other")).await;
        eventually("the new Service to respond", || async {
            get(cluster.proxy, "http://other/").await.from() == "canary"
        })
        .await;
        cluster
            .delete("discovery.k8s.io/v1", "EndpointSlice", "other-canary")
            .await;
        cluster.delete("v1", "Service", "other").await;
        eventually("the Service to be unknown", || async {
            get(cluster.proxy, "http://other/").await.status == StatusCode::BAD_GATEWAY
        })
        .await;
    }
    let tally = load.stop().await;
    assert!(tally.failures().is_empty(), "{:?}", tally.answers);
    cluster.stop().await;
}

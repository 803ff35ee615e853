//! The rollout page: content, cost and shutdown.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream},
};
use controller::{
    cluster::Kind,
    process::{lease::Times, serve::serve, settings::Settings},
    views::page::CLIENTS,
};
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};
use tower::ServiceExt;

use crate::{
    recorder::Recorder,
    world::{Running, World, canary},
};

const DETAIL: &str = "/canaries/default/simple-app";

async fn ask(endpoints: &Router, path: &str, accept: &str) -> Response<Body> {
    let request = Request::get(path).header(header::ACCEPT, accept);
    let request = request.body(Body::empty()).unwrap();
    endpoints.clone().oneshot(request).await.unwrap()
}

pub async fn get(endpoints: &Router, path: &str) -> (StatusCode, String) {
    let response = ask(endpoints, path, "*/*").await;
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX);
    (
        status,
        String::from_utf8(bytes.await.unwrap().to_vec()).unwrap(),
    )
}

pub async fn json(endpoints: &Router, path: &str) -> Value {
    serde_json::from_str(&get(endpoints, path).await.1).unwrap()
}

/// A stream of server-sent events, parsed as browsers do.
struct Events {
    body: BodyDataStream,
    rest: String,
}

impl Events {
    async fn open(endpoints: &Router, path: &str) -> Self {
        let response = ask(endpoints, path, "text/event-stream").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let kind = &response.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "text/event-stream", "{path}");
        Self {
            body: response.into_body().into_data_stream(),
            rest: String::new(),
        }
    }

    /// The next event as name and data, without comments; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.collect::<Vec<_>>().join("\n")
                };
                let (name, data) = (field("event: "), field("data: "));
                self.rest = rest.to_owned();
                if !data.is_empty() {
                    return Some((name, data));
                }
            }
            let chunk = self.body.next().await?.unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads events until one satisfies a condition, and returns their data.
    async fn until(&mut self, what: &str, found: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let mut seen = Vec::new();
        let all = async {
            loop {
                let (name, data) = self.next().await.expect("the stream continues");
                let is_last = found(&name, &data);
                seen.push(data);
                if is_last {
                    break;
                }
            }
        };
        let limit = Duration::from_secs(3600);
        let in_time = tokio::time::timeout(limit, all).await.is_ok();
        assert!(in_time, "never: {what}; seen {seen:#?}");
        seen
    }
}

async fn initialized() -> (World, Running) {
    let world = World::new().await;
    let running = world.start();
    world.deploy(&canary()).await;
    world.phase("simple-app", "Initialized").await;
    (world, running)
}

#[tokio::test(start_paused = true)]
async fn every_stream_shows_the_progress_of_a_release() {
    let (world, running) = initialized().await;
    let mut other = canary();
    other["metadata"]["name"] = "other".into();
    other["spec"]["targetRef"]["name"] = "missing".into();
    world.apply(Kind::CANARY, &other).await;
    world
        .until("the other canary is refused", async || {
            world.status("other").await["waiting"]["reason"] == "Invalid"
        })
        .await;
    let mut watch = Events::open(&running.endpoints, "/api/watch").await;
    for name in ["other", "simple-app"] {
        let (_, report) = watch.next().await.unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["name"], name);
    }
    let mut list = Events::open(&running.endpoints, "/").await;
    let mut detail = Events::open(&running.endpoints, DETAIL).await;
    for page in [&mut list, &mut detail] {
        let (name, html) = page.next().await.unwrap();
        assert!(name == "page" && html.contains("1.0.0"), "{name}: {html}");
    }
    world.set_image("1.0.1").await;

    let is_over = |_: &str, data: &str| {
        let report: Value = serde_json::from_str(data).unwrap();
        report["phase"] == "Succeeded"
    };
    let halfway = |name: &str, html: &str| name == "sections" && html.contains("canary 30 %");
    let done = |_: &str, html: &str| html.contains("<li class=\"done\">Scale down");
    let (reports, cards, ()) = tokio::join!(
        watch.until("the end of the release", is_over),
        list.until("30 % in the list", halfway),
        async {
            detail.until("30 % of the canary", halfway).await;
            detail.until("its last step", done).await;
        }
    );
    let mut weights = Vec::new();
    for report in reports {
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(
            report["name"], "simple-app",
            "the other canary did not change"
        );
        let of = &report["weights"];
        let sum = of["primary"].as_u64().unwrap() + of["canary"].as_u64().unwrap();
        assert_eq!(sum, 100, "{report:#}");
        if weights.last() != Some(&of["canary"]) {
            weights.push(of["canary"].clone());
        }
    }
    assert_eq!(json!(weights), json!([0, 10, 20, 30, 40, 50, 0]));
    // The whole page was sent once, before; these are sections.
    let card = "<article id=\"default/simple-app\">";
    assert!(
        cards.iter().all(|html| html.starts_with(card)),
        "{cards:#?}"
    );

    let now = json(&running.endpoints, "/api/canaries/default/simple-app").await;
    assert_eq!(
        now["images"],
        json!({ "primary": ["simple-app:1.0.1"], "target": ["simple-app:1.0.1"] })
    );
    let history = now["history"].as_array().unwrap();
    let past: Vec<_> = history.iter().map(|moment| &moment["weight"]).collect();
    for weight in [10, 20, 30, 40, 50] {
        assert!(past.contains(&&json!(weight)), "{past:?}");
    }
    let (_, page) = get(&running.endpoints, DETAIL).await;
    assert!(
        page.contains("request-processing-seconds-avg") && page.contains("class=\"pass\""),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_live_view_shows_canaries_that_are_created_and_deleted() {
    let world = World::new().await;
    let running = world.start();
    world
        .until("the first list", async || {
            get(&running.endpoints, "/readyz").await.0 == StatusCode::OK
        })
        .await;
    let mut list = Events::open(&running.endpoints, "/").await;
    let mut watch = Events::open(&running.endpoints, "/api/watch").await;
    let empty = |_: &str, html: &str| html.contains("No canaries yet");
    list.until("the empty list", empty).await;
    world.deploy(&canary()).await;
    let there = |name: &str, html: &str| name == "page" && html.contains("simple-app");
    list.until("the canary", there).await;
    watch
        .until("the canary on the stream", |name, _| name == "canary")
        .await;
    let params = Default::default();
    world
        .api(Kind::CANARY)
        .delete("simple-app", &params)
        .await
        .unwrap();
    list.until("the empty list again", empty).await;
    let seen = watch
        .until("its deletion", |name, _| name == "deleted")
        .await;
    let last: Value = serde_json::from_str(seen.last().unwrap()).unwrap();
    assert_eq!(
        last,
        json!({ "namespace": "default", "name": "simple-app" })
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_page_sends_no_requests() {
    let (_world, running) = initialized().await;
    let mut streams = Vec::new();
    for path in ["/", DETAIL, "/api/watch"] {
        streams.push(Events::open(&running.endpoints, path).await);
    }
    let asked = || {
        let asked = running.recorder.asked().into_iter();
        asked.filter(|one| one.verb != "watch").count()
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = asked();
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        for path in ["/", DETAIL, "/api/canaries"] {
            assert_eq!(get(&running.endpoints, path).await.0, StatusCode::OK);
        }
    }
    assert_eq!(asked(), before);
    for stream in &mut streams {
        stream.next().await.unwrap();
        let quiet = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
        assert!(quiet.is_err(), "nothing changed: {quiet:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_replica_serves_the_same_data() {
    let world = World::new().await;
    let start = |name: &str| {
        let settings = Settings {
            min_interval: Duration::ZERO,
            ..Settings::default()
        };
        world.start_with(
            Recorder::default(),
            settings,
            Some((name, Times::default())),
        )
    };
    let (first, second) = (start("first"), start("second"));
    world.deploy(&canary()).await;
    world.phase("simple-app", "Initialized").await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    // The status is written, but each replica sees it in its own time.
    world
        .until("both replicas serve the same", async || {
            let path = "/api/canaries/default/simple-app";
            let report = json(&first.endpoints, path).await;
            report["phase"] == "Succeeded" && report == json(&second.endpoints, path).await
        })
        .await;
    let mut leads = BTreeSet::new();
    for running in [&first, &second] {
        let list = json(&running.endpoints, "/api/canaries").await;
        assert_eq!(list["canaries"][0]["phase"], "Succeeded", "{list:#}");
        leads.insert(list["controller"]["leads"].as_bool().unwrap());
    }
    assert_eq!(
        leads,
        BTreeSet::from([false, true]),
        "exactly one replica leads"
    );
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_format_of_the_requested_path() {
    let (_world, running) = initialized().await;
    let (status, text) = get(&running.endpoints, "/api/canaries/default/nobody").await;
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(
        error,
        json!({ "error": "there is no Canary \"nobody\" in namespace default; /api/canaries lists all canaries" })
    );
    let (status, text) = get(&running.endpoints, "/api/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        serde_json::from_str::<Value>(&text).unwrap()["error"].is_string(),
        "{text}"
    );
    let (status, page) = get(&running.endpoints, "/canaries/default/no%3Cbody").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("There is no Canary “no&lt;body”"), "{page}");
    let (status, _) = get(&running.endpoints, "/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    for path in ["/", DETAIL, "/nothing", "/api/canaries", "/api/watch"] {
        let response = ask(&running.endpoints, path, "*/*").await;
        let value = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(
            value("content-security-policy").starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(value("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(value("cache-control"), "no-store", "{path}");
    }
    for (method, path) in [("POST", "/api/canaries"), ("DELETE", DETAIL), ("PUT", "/")] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        let refused = running
            .endpoints
            .clone()
            .oneshot(request.unwrap())
            .await
            .unwrap();
        assert_eq!(
            refused.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
    }
    assert_eq!(get(&running.endpoints, "/healthz").await.1, "OK");
}

#[tokio::test(start_paused = true)]
async fn names_and_messages_from_users_are_escaped() {
    let world = World::new().await;
    let running = world.start();
    let mut hostile = canary();
    let name = "<img src=x onerror=alert(1)>";
    hostile["spec"]["analysis"]["metrics"][0]["name"] = name.into();
    hostile["spec"]["analysis"]["webhooks"][0]["name"] = "</main><script>alert(2)</script>".into();
    world.deploy(&hostile).await;
    world.phase("simple-app", "Initialized").await;
    world.web.measure(9.0);
    world.set_image("\"><script>alert(3)</script>").await;
    world.phase("simple-app", "Failed").await;
    let mut seen = 0;
    for path in ["/", DETAIL] {
        let (_, page) = get(&running.endpoints, path).await;
        assert_eq!(
            page.matches("<script").count(),
            1,
            "only the page's own script: {page}"
        );
        assert!(!page.contains("<img"), "{page}");
        seen += page.matches("&lt;img src=x onerror=alert(1)&gt;").count();
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(3)"), "{page}");
    }
    assert!(seen > 0, "the metric is shown");
    let report = json(&running.endpoints, "/api/canaries/default/simple-app").await;
    let mut checks = report["checks"].as_array().unwrap().iter();
    assert!(checks.any(|check| check["name"] == name), "{report:#}");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_live_views_is_limited() {
    let (_world, running) = initialized().await;
    let mut open = Vec::new();
    for _ in 0..CLIENTS {
        open.push(Events::open(&running.endpoints, "/").await);
    }
    let refused = ask(&running.endpoints, "/api/watch", "*/*").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(
        get(&running.endpoints, "/").await.0,
        StatusCode::OK,
        "the page itself is still served"
    );
    open.pop();
    Events::open(&running.endpoints, "/api/watch").await;
}

/// Accepts in-process connections.
struct Listener(mpsc::UnboundedReceiver<DuplexStream>);

impl axum::serve::Listener for Listener {
    type Io = DuplexStream;
    type Addr = &'static str;

    async fn accept(&mut self) -> (DuplexStream, &'static str) {
        match self.0.recv().await {
            Some(connection) => (connection, "in process"),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<&'static str> {
        Ok("in process")
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_its_place() {
    let (_world, running) = initialized().await;
    let (connect, incoming) = mpsc::unbounded_channel();
    let shutdown = running.shutdown.clone();
    tokio::spawn(serve(
        Listener(incoming),
        running.endpoints.clone(),
        shutdown,
    ));
    let mut stuck = Vec::new();
    for _ in 0..CLIENTS {
        let (mut client, server) = tokio::io::duplex(256);
        connect.send(server).unwrap();
        let request = "GET /api/watch HTTP/1.1\r\nhost: test\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        // The first byte shows that the client has its place. The rest is never read.
        client.read_u8().await.unwrap();
        stuck.push(client);
    }
    let full = ask(&running.endpoints, "/api/watch", "*/*").await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let free = ask(&running.endpoints, "/api/watch", "*/*").await;
    assert_eq!(free.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_does_not_delay_shutdown() {
    let (_world, mut running) = initialized().await;
    let (connect, incoming) = mpsc::unbounded_channel();
    let shutdown = running.shutdown.clone();
    let served = tokio::spawn(serve(
        Listener(incoming),
        running.endpoints.clone(),
        shutdown,
    ));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    connect.send(server).unwrap();
    let request = "GET /api/watch HTTP/1.1\r\nhost: test\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client.read_u8().await.unwrap();
    let cancelled = tokio::time::Instant::now();
    running.shutdown.cancel();
    let served = tokio::time::timeout(Duration::from_secs(60), served).await;
    served.expect("the server stops").unwrap().unwrap();
    (&mut running.task).await.unwrap().unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.ends_with("\r\n0\r\n\r\n"),
        "the stream is terminated: {rest}"
    );
    assert!(
        cancelled.elapsed() < Duration::from_secs(2),
        "{:?}",
        cancelled.elapsed()
    );
}

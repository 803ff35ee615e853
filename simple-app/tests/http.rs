//! The routes, called without a socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use simple_app::faults::Faults;
use simple_app::metrics::Metrics;
use simple_app::request_log::RequestLog;
use simple_app::router::{App, app, metrics};
use tower::ServiceExt as _;

fn state(faults: Faults) -> Arc<App> {
    Arc::new(App {
        version: "1.0.1".into(),
        faults,
        metrics: Metrics::new().unwrap(),
        log: RequestLog::start(std::io::sink()).unwrap().0,
        requests: AtomicU64::new(0),
        draining: AtomicBool::new(false),
    })
}

async fn get(router: &Router, path: &str) -> Response<Body> {
    router
        .clone()
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .into(),
    )
    .unwrap()
}

/// The text with `N` for every value that differs from run to run.
fn without_values(metrics: &str) -> String {
    metrics
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((name, _)) if !line.starts_with('#') && !name.ends_with("_count") => {
                format!("{name} N\n")
            }
            _ => format!("{line}\n"),
        })
        .collect()
}

#[tokio::test]
async fn the_response_is_the_version_and_nothing_else() {
    let response = get(&app(state(Faults::default())), "/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
    assert_eq!(text(response).await, "version: 1.0.1");
}

#[tokio::test]
async fn metrics_have_the_names_types_and_help_of_the_python_client() {
    let state = state(Faults::default());
    let (app, metrics) = (app(Arc::clone(&state)), metrics(state));
    let before = text(get(&metrics, "/metrics").await).await;
    assert!(
        before.contains("\nrequest_processing_seconds_count 0.0\n"),
        "{before}"
    );
    assert!(
        before.contains("\nrequest_processing_seconds_sum 0.0\n"),
        "{before}"
    );

    for _ in 0..3 {
        get(&app, "/").await;
    }
    get(&app, "/healthz").await;
    let after = get(&metrics, "/metrics").await;
    assert_eq!(
        after.headers()[header::CONTENT_TYPE],
        "text/plain; version=0.0.4"
    );
    let after = text(after).await;
    let golden = include_str!("metrics.golden.txt");
    assert_eq!(without_values(&after), golden);
    assert_eq!(
        without_values(&text(get(&app, "/metrics").await).await),
        golden
    );
}

#[tokio::test]
async fn the_summary_includes_the_delay_and_failed_requests() {
    let faults = Faults {
        delay: "20ms".parse().unwrap(),
        error_rate: "100%".parse().unwrap(),
    };
    let state = state(faults);
    let router = app(Arc::clone(&state));
    let response = get(&router, "/").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let metrics = text(get(&router, "/metrics").await).await;
    let sum = metrics
        .lines()
        .find_map(|line| line.strip_prefix("request_processing_seconds_sum "))
        .unwrap();
    assert!(sum.parse::<f64>().unwrap() >= 0.02, "{sum}");
    assert!(
        metrics.contains("\nrequest_processing_seconds_count 1.0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn draining_fails_readiness_and_asks_clients_to_close_their_connections() {
    let state = state(Faults::default());
    let router = app(Arc::clone(&state));
    let before = get(&router, "/readyz").await;
    assert_eq!(before.status(), StatusCode::OK);
    assert!(!before.headers().contains_key(header::CONNECTION));

    state.draining.store(true, Ordering::Relaxed);
    assert_eq!(
        get(&router, "/readyz").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(get(&router, "/healthz").await.status(), StatusCode::OK);
    let response = get(&router, "/").await;
    assert_eq!(response.headers()[header::CONNECTION], "close");
    assert_eq!(text(response).await, "version: 1.0.1");
}

#[tokio::test]
async fn the_metrics_port_does_not_serve_the_app() {
    let router = metrics(state(Faults::default()));
    assert_eq!(get(&router, "/").await.status(), StatusCode::NOT_FOUND);
}

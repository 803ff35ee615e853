//! The routes of both ports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::faults::{Draw, Faults};
use crate::metrics::{Metrics, TEXT_FORMAT};
use crate::request_log::RequestLog;

/// State that the handlers share.
pub struct App {
    /// Version in responses and in the log.
    pub version: String,
    /// Faults to inject.
    pub faults: Faults,
    /// Exported on `/metrics`.
    pub metrics: Metrics,
    /// Takes one line per request.
    pub log: RequestLog,
    /// Requests of `GET /` since the start.
    pub requests: AtomicU64,
    /// True after the signal to stop.
    pub draining: AtomicBool,
}

/// The routes of the app's port.
pub fn app(state: Arc<App>) -> Router {
    Router::new()
        .route("/", get(version))
        .merge(operations())
        .layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            close_when_draining,
        ))
        .with_state(state)
}

/// The routes of the metrics port.
pub fn metrics(state: Arc<App>) -> Router {
    operations().with_state(state)
}

fn operations() -> Router<Arc<App>> {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
}

async fn version(State(app): State<Arc<App>>) -> Response {
    let started = Instant::now();
    let number = app.requests.fetch_add(1, Ordering::Relaxed) + 1;
    app.log.request(number, &app.version);
    let treatment = app.faults.treat(Draw {
        error: fastrand::f64(),
        jitter: fastrand::f64(),
    });
    if !treatment.delay.is_zero() {
        tokio::time::sleep(treatment.delay).await;
    }
    let body = format!("version: {}", app.version);
    app.metrics.request_processing.observe(started.elapsed());
    if treatment.fails {
        return (StatusCode::INTERNAL_SERVER_ERROR, body).into_response();
    }
    body.into_response()
}

async fn scrape(State(app): State<Arc<App>>) -> Response {
    match app.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    "ready\n".into_response()
}

/// Asks clients to close their connections, so that none is closed in the middle of a request.
async fn close_when_draining(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if app.draining.load(Ordering::Relaxed) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

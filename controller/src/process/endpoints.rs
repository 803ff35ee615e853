//! `/metrics`, `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};

use super::{lease::Fence, metrics::Metrics};
use crate::cluster::Cluster;

/// The data that the endpoints serve.
#[derive(Clone)]
pub struct Admin {
    /// The controller's own metrics.
    pub metrics: Metrics,
    /// The controller's local copies.
    pub cluster: Arc<Cluster>,
    /// Leadership of this process.
    pub fence: Fence,
}

/// Returns the routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "OK"))
        .route("/readyz", get(ready))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.metrics.text(admin.fence.check().is_ok()) {
        Ok(text) => ([("content-type", prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Ready when every local copy is complete. A standby replica is ready too.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let unready = admin.cluster.unready();
    if unready.is_empty() {
        return (StatusCode::OK, format!("OK, {}\n", admin.fence));
    }
    let lines = unready
        .iter()
        .map(|(kind, why)| format!("{}: {why}\n", kind.qualified()));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

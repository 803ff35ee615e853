//! A stand-in for Prometheus and the webhooks: every query returns 1, and every webhook passes.

use std::net::Ipv4Addr;

use axum::{Json, Router, routing::any};
use serde_json::{Value, json};

/// Starts the server and returns its URL.
pub(crate) async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/api/v1/query", any(one))
        .fallback(async || "");
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn one() -> Json<Value> {
    Json(
        json!({ "status": "success", "data": { "resultType": "vector", "result": [
        { "metric": {}, "value": [1_700_000_000, "1"] } ] } }),
    )
}

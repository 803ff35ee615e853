//! Requests over real sockets.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::post};
use controller::process::http::{Connection, Method, Network, Request, Transport};

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn request(url: String) -> Request {
    Request {
        method: Method::Post,
        url,
        headers: vec![("x-test".to_owned(), "yes".to_owned())],
        body: Some("{}".to_owned()),
        timeout: Duration::from_secs(5),
        connection: Connection::default(),
    }
}

fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn a_response_has_status_retry_after_and_body() {
    use_ring();
    let busy = async |headers: http::HeaderMap, body: String| {
        let words = format!("{}{body}", headers["x-test"].to_str().unwrap());
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], words)
    };
    let base = serve(Router::new().route("/", post(busy))).await;
    let response = Network::default().send(request(base)).await.unwrap();
    assert_eq!(
        (
            response.status,
            response.retry_after,
            response.body.as_str()
        ),
        (429, Some(7), "yes{}")
    );
}

#[tokio::test]
async fn a_failed_connection_reports_its_cause() {
    use_ring();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Network::default()
        .send(request(format!("http://{address}/")))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "connection refused");
}

#[tokio::test]
async fn a_server_without_tls_is_reported_without_layers_of_the_client() {
    use_ring();
    let base = serve(Router::new()).await.replace("http:", "https:");
    let error = Network::default().send(request(base)).await.unwrap_err();
    let error = error.to_string();
    assert!(
        !error.contains("client error") && !error.contains('('),
        "{error}"
    );
}

#[tokio::test]
async fn a_response_that_is_too_long_is_an_error() {
    use_ring();
    let endless = async || "x".repeat(9 << 20);
    let base = serve(Router::new().route("/", post(endless))).await;
    let error = Network::default().send(request(base)).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

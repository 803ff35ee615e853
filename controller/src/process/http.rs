//! Outgoing HTTP requests: webhooks, queries, alerts. [`Transport`] lets tests respond in-process, under a paused
//! clock.

use std::{collections::HashMap, sync::Mutex, sync::PoisonError, time::Duration};

use api_failure::root_cause;
use futures::future::BoxFuture;

/// Maximum size of a response body. A longer one is an error, so that a server cannot exhaust the memory.
const LONGEST_BODY: usize = 8 << 20;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// URL, including the query string.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// JSON body of a `POST`.
    pub body: Option<String>,
    /// Timeout of the whole request.
    pub timeout: Duration,
    /// Connection settings.
    pub connection: Connection,
}

/// Supported methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

/// Connection settings. Requests with equal settings share a connection pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Connection {
    /// Skips verification of the server's certificate.
    pub insecure: bool,
    /// Proxy URL; overrides the environment.
    pub proxy: Option<String>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// Body as text.
    pub body: String,
}

impl Response {
    /// Reports whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the status as `404 Not Found`.
    #[must_use]
    pub fn status_text(&self) -> String {
        match http::StatusCode::from_u16(self.status) {
            Ok(status) => status.to_string(),
            Err(_) => self.status.to_string(),
        }
    }
}

/// A request without a response. The message names the root cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub String);

/// Sends requests.
pub trait Transport: Send + Sync {
    /// Sends a request.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>>;
}

/// Sends requests over the network; honours `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Debug, Default)]
pub struct Network {
    /// One client, with its own connection pool, per connection settings.
    clients: Mutex<HashMap<Connection, reqwest::Client>>,
}

impl Network {
    fn client(&self, connection: &Connection) -> Result<reqwest::Client, HttpError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(connection) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("canary-controller/", env!("CARGO_PKG_VERSION")))
            .tls_danger_accept_invalid_certs(connection.insecure);
        if let Some(proxy) = &connection.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(describe)?);
        }
        let client = builder.build().map_err(describe)?;
        clients.insert(connection.clone(), client.clone());
        Ok(client)
    }

    async fn call(&self, request: Request) -> Result<Response, HttpError> {
        let client = self.client(&request.connection)?;
        let mut builder = match request.method {
            Method::Get => client.get(&request.url),
            Method::Post => client.post(&request.url),
        };
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder
                .header("content-type", "application/json")
                .body(body);
        }
        let sent = builder.timeout(request.timeout).send().await;
        let mut response = sent.map_err(describe)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(HttpError(format!(
                    "response is longer than {LONGEST_BODY} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            retry_after,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(self.call(request))
    }
}

/// Describes an error by its root cause. It never contains the URL, which may contain a token: the message is logged.
fn describe(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError("no response in time".to_owned());
    }
    HttpError(root_cause(&error.without_url()))
}

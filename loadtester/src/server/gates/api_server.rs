//! Client of the API server of the load tester's own cluster, for the few requests that gates need.
//!
//! A complete Kubernetes client would be larger than the rest of the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::client::{connect, tls};

/// Time limit of a whole request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a response. A ConfigMap has at most 1 MiB, which JSON may double.
const LARGEST_RESPONSE: usize = 4 * 1024 * 1024;

/// Address and credentials of the API server, as the kubelet gives them to every pod.
#[derive(Debug)]
pub(crate) struct ApiServer {
    host: String,
    port: u16,
    /// `token`, `ca.crt` and `namespace`.
    service_account: PathBuf,
    namespace: String,
    tls: Arc<ClientConfig>,
}

/// A response of the API server.
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: StatusCode,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// The `Status` of a failed request.
#[derive(Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    reason: String,
}

impl Response {
    /// The reason of an error: the message of the `Status` object in the body.
    pub(crate) fn message(&self) -> String {
        match self.failure() {
            Some(failure) => failure.message,
            None => {
                let text = String::from_utf8_lossy(&self.body);
                text.trim().chars().take(200).collect()
            }
        }
    }

    /// Whether the API server said that the object does not exist. `404 page not found` in plain text does not: a
    /// server in its first moments answers so about everything.
    pub(crate) fn is_not_found(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.reason == "NotFound")
    }

    fn failure(&self) -> Option<Failure> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl ApiServer {
    /// The API server for the pod that this process runs in. `service_account` is the folder of the pod's ServiceAccount.
    ///
    /// # Errors
    /// The process does not run in a pod, or the pod has no token.
    pub(crate) fn of_pod(service_account: PathBuf) -> anyhow::Result<Self> {
        let variable = |name| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set, so this process does not run in a pod")
            })
        };
        let namespace = read(&service_account.join("namespace"))?;
        let tls = tls::settings(Some(&service_account.join("ca.crt")), false);
        Ok(Self {
            host: variable("KUBERNETES_SERVICE_HOST")?,
            port: variable("KUBERNETES_SERVICE_PORT")?
                .parse()
                .context("KUBERNETES_SERVICE_PORT is not a port")?,
            namespace,
            tls: tls.map_err(anyhow::Error::msg)?,
            service_account,
        })
    }

    /// Namespace of the pod.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Sends one request over a new connection. The body is a merge patch.
    ///
    /// # Errors
    /// There is no complete response.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Response> {
        let (host, port) = (&self.host, self.port);
        let response = tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await;
        response
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no response within {TIMEOUT:?}")))
            .with_context(|| format!("cannot reach the API server at {host}:{port}"))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Response> {
        // Read each time, because the kubelet renews it.
        let token = read(&self.service_account.join("token"))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(Full::new(Bytes::from(body)))?;
        let stream = Box::new(TcpStream::connect((self.host.as_str(), self.port)).await?);
        let name = ServerName::try_from(self.host.clone())?;
        let (stream, _) = connect::start_tls(stream, name, &self.tls).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response {
            status: head.status,
            body: axum::body::to_bytes(Body::new(body), LARGEST_RESPONSE).await?,
        })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read {}: does the pod have a ServiceAccount token?",
            path.display()
        )
    })?;
    Ok(text.trim().to_owned())
}

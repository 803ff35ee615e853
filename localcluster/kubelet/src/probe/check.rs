//! One attempt of a probe or hook.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::{Container, ExecAction, HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use localcluster_shared::process::{Launch, Spawner, Tail};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    image::Image,
    spec::{Environment, find_program},
};

/// Lines of output quoted in the error of a failed command.
const QUOTED_LINES: usize = 10;

/// Runs the probes and hooks of one container.
#[derive(Debug, Clone)]
pub(crate) struct Checker {
    pub(crate) address: Ipv4Addr,
    pub(crate) container: Container,
    /// The container's own process; commands run with the same environment and directory.
    pub(crate) launch: Launch,
    pub(crate) image: Image,
    pub(crate) env: Environment,
    pub(crate) rootfs: std::path::PathBuf,
    pub(crate) spawner: Spawner,
}

impl Checker {
    /// Makes one attempt. The error is the text for the event. A probe without a supported action
    /// passes.
    pub(crate) async fn probe(&self, probe: &Probe, limit: Duration) -> Result<(), String> {
        if crate::spec::unsupported_probe(probe).is_some() {
            return Ok(());
        }
        if let Some(get) = &probe.http_get {
            self.http_get(get, limit).await
        } else if let Some(socket) = &probe.tcp_socket {
            self.tcp(socket, limit).await
        } else if let Some(exec) = &probe.exec {
            self.exec(exec, limit).await
        } else {
            Ok(())
        }
    }

    /// Sends a GET request. Any status from 200 to 399 is a success.
    pub(crate) async fn http_get(
        &self,
        get: &HTTPGetAction,
        limit: Duration,
    ) -> Result<(), String> {
        let port = port_number(&get.port, &self.container)?;
        let host = get
            .host
            .clone()
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| self.address.to_string());
        let path = get
            .path
            .as_deref()
            .filter(|path| !path.is_empty())
            .unwrap_or("/");
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let url = format!("http://{host}:{port}{path}");
        let attempt = async {
            let stream = TcpStream::connect((host.as_str(), port))
                .await
                .map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            let mut request = Request::get(path.as_str())
                .header("user-agent", "kube-probe/1.33")
                .header("accept", "*/*")
                .header("connection", "close");
            let headers = get.http_headers.iter().flatten();
            if !headers
                .clone()
                .any(|header| header.name.eq_ignore_ascii_case("host"))
            {
                request = request.header("host", format!("{host}:{port}"));
            }
            for header in headers {
                request = request.header(&header.name, &header.value);
            }
            let request = request
                .body(Empty::<Bytes>::new())
                .map_err(|error| error.to_string())?;
            let exchange = async move {
                let response = sender
                    .send_request(request)
                    .await
                    .map_err(|error| error.to_string())?;
                let status = response.status();
                // Read the body, so that the server does not see an aborted response.
                let _ = response.into_body().collect().await;
                Ok::<_, String>(status)
            };
            // The connection future does the I/O. It completes once the exchange drops the sender.
            // If it completes earlier, the exchange returns the error.
            let (status, _) = tokio::join!(exchange, connection);
            status
        };
        let status = timeout(limit, attempt)
            .await
            .map_err(|_| {
                format!(
                    "Get \"{url}\": context deadline exceeded (timeout {} s)",
                    limit.as_secs()
                )
            })?
            .map_err(|error| format!("Get \"{url}\": {error}"))?;
        if (200..400).contains(&status.as_u16()) {
            return Ok(());
        }
        Err(format!(
            "HTTP probe failed with statuscode: {}",
            status.as_u16()
        ))
    }

    async fn tcp(&self, socket: &TCPSocketAction, limit: Duration) -> Result<(), String> {
        let port = port_number(&socket.port, &self.container)?;
        let host = socket
            .host
            .clone()
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| self.address.to_string());
        let connect = timeout(limit, TcpStream::connect((host.as_str(), port))).await;
        connect
            .map_err(|_| format!("dial tcp {host}:{port}: i/o timeout"))?
            .map(|_| ())
            .map_err(|error| format!("dial tcp {host}:{port}: {error}"))
    }

    /// Runs a program of the container's image. Exit code 0 is a success.
    pub(crate) async fn exec(&self, exec: &ExecAction, limit: Duration) -> Result<(), String> {
        let words = exec.command.clone().unwrap_or_default();
        let command = find_program(&words, &self.container, &self.image, &self.env)
            .map_err(|error| error.to_string())?;
        let launch = Launch {
            program: self.rootfs.join(command.program.trim_start_matches('/')),
            args: command.args.into_iter().map(Into::into).collect(),
            ..self.launch.clone()
        };
        let tail = Arc::new(Tail::new(QUOTED_LINES));
        let mut process = self
            .spawner
            .spawn(&launch, tail.clone())
            .await
            .map_err(|error| error.to_string())?;
        match timeout(limit, process.wait()).await {
            Err(_) => Err(format!(
                "command {words:?} timed out after {} s",
                limit.as_secs()
            )),
            Ok(Ok(exit)) if exit.is_success() => Ok(()),
            Ok(Ok(exit)) => Err(format!(
                "command {words:?} ended with {exit}: {}",
                tail.text()
            )),
            Ok(Err(error)) => Err(error.to_string()),
        }
    }
}

/// Resolves a probe's port, which is a number or the name of a container port.
fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_ref() == Some(text));
            named
                .map(|port| port.container_port)
                .or_else(|| text.parse().ok())
        }
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            format!(
                "couldn't find port {port:?} in container {}",
                container.name
            )
        })
}

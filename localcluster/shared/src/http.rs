//! One small HTTP request to a program on this machine.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
pub use hyper::{Method, StatusCode};
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Longest time for one request, connecting included.
const LIMIT: Duration = Duration::from_secs(5);

/// Send a request without a body; returns status and body.
///
/// # Errors
/// Nobody listens at `address`, it does not answer in time, or not in HTTP.
pub async fn request(
    method: Method,
    address: SocketAddr,
    path: &str,
) -> io::Result<(StatusCode, Bytes)> {
    timeout(LIMIT, exchange(method, address, path))
        .await
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{address} does not answer"),
            )
        })?
}

async fn exchange(
    method: Method,
    address: SocketAddr,
    path: &str,
) -> io::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>((status, body))
    };
    let answer = answer.await.map_err(io::Error::other);
    connection.abort();
    answer
}

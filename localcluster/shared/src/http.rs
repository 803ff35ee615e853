//! Small HTTP requests to programs on this machine.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
pub use hyper::{Method, StatusCode};
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Timeout of one request, including the connect.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a request without a body. Returns the status and the body of the response.
///
/// # Errors
/// Nothing listens on `address`, the response takes longer than 5 s, or it is not HTTP.
pub async fn request(
    method: Method,
    address: SocketAddr,
    path: &str,
) -> io::Result<(StatusCode, Bytes)> {
    timeout(TIMEOUT, exchange(method, address, path))
        .await
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{address} did not answer within {} s", TIMEOUT.as_secs()),
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
    let response = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>((status, body))
    };
    let response = response.await.map_err(io::Error::other);
    connection.abort();
    response
}

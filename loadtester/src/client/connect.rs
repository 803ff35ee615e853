//! Connections for hyper: TCP or Unix, through a proxy's tunnel if need be, with TLS if the URL asks for it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::plan::{Address, Protocol, Request, Route, address_of};
use crate::recorder::Timing;

/// A proxy's answer to CONNECT beyond this is none.
const LARGEST_TUNNEL_HEAD: usize = 16 * 1024;

/// Anything bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is ready for HTTP.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) timing: Timing,
    /// Whether TLS agreed on HTTP/2.
    pub(super) agreed_http2: bool,
}

/// Whether requests to `uri` go through a tunnel of the proxy rather than to it. HTTP/2 is agreed on within TLS, so
/// without TLS only one that is known beforehand needs a tunnel.
pub(super) fn is_tunnelled(route: &Route, uri: &Uri, protocol: Protocol) -> bool {
    route.proxied && (protocol == Protocol::Http2Plain || uri.scheme_str() == Some("https"))
}

/// Connects to where the request goes; `limit` is the time that all addresses of its name have together.
pub(super) async fn connect(
    route: &Route,
    request: &Request,
    tls: &Arc<ClientConfig>,
    tunnelled: bool,
    limit: Option<Duration>,
) -> Result<Connected, Failure> {
    let started = Instant::now();
    let mut timing = Timing::default();
    let failure = |error: io::Error| Failure::Connect(route.address.clone(), error);
    let mut stream: Box<dyn Stream> = match &route.address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(failure)?),
        Address::Tcp(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let lookup =
                |error: io::Error| Failure::Lookup(route.address.clone(), error.to_string());
            let addresses: Vec<_> = found.map_err(lookup)?.collect();
            timing.lookup = started.elapsed();
            let stream = connect_to_any(&addresses, limit).await.map_err(failure)?;
            stream.set_nodelay(true).map_err(failure)?;
            Box::new(stream)
        }
    };
    if tunnelled {
        open_tunnel(&mut stream, route, &request.uri)
            .await
            .map_err(failure)?;
    }
    let mut agreed_http2 = false;
    if request.uri.scheme_str() == Some("https") {
        let name = server_name(request).map_err(failure)?;
        (stream, agreed_http2) = secure(stream, name, tls).await.map_err(failure)?;
    }
    timing.dial = started.elapsed();
    Ok(Connected {
        stream,
        timing,
        agreed_http2,
    })
}

/// Connects to the first address that answers. Each has its share of the time: one that never does would take it all.
async fn connect_to_any(
    addresses: &[SocketAddr],
    limit: Option<Duration>,
) -> io::Result<TcpStream> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let connecting = TcpStream::connect(address);
        let result = match limit {
            Some(limit) => tokio::time::timeout(limit / count, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => connecting.await,
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Speaks TLS from now on, and tells whether HTTP/2 was agreed on.
pub(crate) async fn secure(
    stream: Box<dyn Stream>,
    name: ServerName<'static>,
    tls: &Arc<ClientConfig>,
) -> io::Result<(Box<dyn Stream>, bool)> {
    let secured = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await?;
    let agreed_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Box::new(secured), agreed_http2))
}

/// Asks the proxy for a tunnel to the host of `uri`.
async fn open_tunnel(stream: &mut Box<dyn Stream>, route: &Route, uri: &Uri) -> io::Result<()> {
    let to = address_of(uri);
    let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(credentials) = &route.proxy_auth {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(credentials.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await?;
    // Byte by byte: what follows the head belongs to the tunnel.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == LARGEST_TUNNEL_HEAD {
            return Err(io::Error::other("the proxy's answer is no HTTP"));
        }
        answer.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the proxy refuses a tunnel with status {status}"
    )))
}

/// The name the certificate is asked for: the `Host` header's, without its port.
fn server_name(request: &Request) -> io::Result<ServerName<'static>> {
    let host = request
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let name = authority
        .as_ref()
        .map_or(request.uri.host().unwrap_or_default(), |a| a.host());
    ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)
}

//! Connections for hyper: TCP or Unix, through a proxy's tunnel and with TLS where the URL needs them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtester_http1::{Address, Error, Timing, Tunnel};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::plan::{Plan, Protocol, Request, Route};

/// A two-way stream of bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is ready for HTTP.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) timing: Timing,
    /// True if TLS agreed on HTTP/2.
    pub(super) agreed_http2: bool,
}

/// Connects to the request's server. All addresses of its name share the time limit of one request.
pub(super) async fn connect(
    plan: &Plan,
    route: &Route,
    request: &Request,
    tls: &Arc<ClientConfig>,
) -> Result<Connected, Error> {
    let started = Instant::now();
    let mut timing = Timing::default();
    let failure = |error: io::Error| Error::Connect(route.address.clone(), error);
    let mut stream: Box<dyn Stream> = match &route.address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(failure)?),
        Address::Tcp(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let lookup = |error: io::Error| Error::Lookup(route.address.clone(), error.to_string());
            let addresses: Vec<_> = found.map_err(lookup)?.collect();
            timing.lookup = started.elapsed();
            let stream = connect_to_any(&addresses, plan.timeout)
                .await
                .map_err(failure)?;
            stream.set_nodelay(true).map_err(failure)?;
            Box::new(stream)
        }
    };
    // A forwarding proxy speaks only HTTP/1.1 without TLS; everything else needs a tunnel.
    let secure = request.uri.scheme_str() == Some("https");
    if route.proxied && (secure || plan.protocol == Protocol::Http2Plain) {
        let tunnel = Tunnel {
            to: Address::of_uri(&request.uri).to_string(),
            credentials: route.proxy_auth.clone(),
        };
        open_tunnel(&mut stream, &tunnel).await.map_err(failure)?;
    }
    let mut agreed_http2 = false;
    if secure {
        let name = ServerName::try_from(request.server_name());
        let name = name.map_err(|error| failure(io::Error::other(error)))?;
        (stream, agreed_http2) = start_tls(stream, name, tls).await.map_err(failure)?;
    }
    timing.dial = started.elapsed();
    Ok(Connected {
        stream,
        timing,
        agreed_http2,
    })
}

/// Connects to the first address that accepts. Each has a share of the time, because one that never responds would take all.
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

/// Starts TLS; true if HTTP/2 was agreed on.
pub(crate) async fn start_tls(
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

async fn open_tunnel(stream: &mut Box<dyn Stream>, tunnel: &Tunnel) -> io::Result<()> {
    stream.write_all(&tunnel.request()).await?;
    let mut head = Vec::new();
    while !Tunnel::is_open(&head)? {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

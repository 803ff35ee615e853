//! Makes connections: name lookup, socket, tunnel, TLS.

use std::cell::RefCell;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use rustls::ClientConfig;

use crate::address::Address;
use crate::endpoint::{Endpoint, Tunnel};
use crate::error::Error;
use crate::reactor::Reactor;
use crate::resolver::Resolver;
use crate::stream::{Socket, Stream};
use crate::timing::Timing;

/// A Unix socket whose backlog is full refuses at once; connecting is tried again after this time.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// Makes the connections of one worker.
#[derive(Clone, Copy)]
pub(crate) struct Connector<'c> {
    pub(crate) worker: usize,
    pub(crate) reactor: &'c Reactor,
    pub(crate) resolver: &'c RefCell<Resolver>,
    pub(crate) tls: &'c Arc<ClientConfig>,
}

impl Connector<'_> {
    /// A connection to `endpoint` that is ready for HTTP.
    pub(crate) async fn connect(self, endpoint: &Endpoint) -> Result<(Stream, Timing), Error> {
        let started = Instant::now();
        let mut timing = Timing::default();
        let address = &endpoint.address;
        let failure = |error: io::Error| Error::Connect(address.clone(), error);
        let socket = match address {
            Address::Unix(path) => self.connect_unix(path).await.map_err(failure)?,
            Address::Tcp(host, port) => {
                let (addresses, lookup) = self.resolver.borrow_mut().resolve(host, *port)?;
                timing.lookup = lookup;
                let socket = self.connect_to_any(host, *port, addresses).await;
                socket.map_err(failure)?
            }
        };
        let stream = self.prepare(endpoint, socket).await.map_err(failure)?;
        timing.dial = started.elapsed();
        Ok((stream, timing))
    }

    /// Opens the tunnel and starts TLS, as far as the endpoint needs them.
    async fn prepare(self, endpoint: &Endpoint, socket: OwnedFd) -> io::Result<Stream> {
        let socket = match &endpoint.tunnel {
            Some(tunnel) => self.open_tunnel(tunnel, Socket(socket)).await?,
            None => Socket(socket),
        };
        let Some(name) = &endpoint.tls else {
            return Ok(Stream::Plain(socket));
        };
        let mut stream = Stream::tls(socket, name, self.tls)?;
        self.retry(|| stream.handshake()).await?;
        Ok(stream)
    }

    async fn open_tunnel(self, tunnel: &Tunnel, mut socket: Socket) -> io::Result<Socket> {
        let request = tunnel.request();
        let mut rest = &*request;
        while !rest.is_empty() {
            let sent = self.retry(|| socket.write(rest)).await?;
            rest = &rest[sent..];
        }
        let mut head = Vec::new();
        while !Tunnel::is_open(&head)? {
            let mut byte = [0];
            if self.retry(|| socket.read(&mut byte)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.push(byte[0]);
        }
        Ok(socket)
    }

    /// Repeats `step` each time the worker's socket is ready, until it does not need to wait.
    async fn retry<T>(self, mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match step() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.reactor.ready(self.worker).await;
                }
                other => return other,
            }
        }
    }

    async fn connect_unix(self, path: &Path) -> io::Result<OwnedFd> {
        let address = SocketAddrUnix::new(path)?;
        let socket = stream_socket(AddressFamily::UNIX)?;
        while let Err(error) = connect(&socket, &address) {
            if error != Errno::AGAIN || self.reactor.is_cancelled() {
                return Err(error.into());
            }
            let again = Instant::now() + BACKLOG_PAUSE;
            self.reactor.sleep_until(self.worker, again).await;
        }
        self.reactor.register(self.worker, &socket)?;
        Ok(socket)
    }

    /// Connects to the first address that accepts.
    async fn connect_to_any(
        self,
        host: &str,
        port: u16,
        addresses: Vec<SocketAddr>,
    ) -> io::Result<OwnedFd> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            // The attempt may be dropped while it waits: the request's time is over, or the run.
            let mut attempt = Attempt {
                resolver: self.resolver,
                host,
                port,
                address,
                succeeded: false,
            };
            match self.connect_tcp(address).await {
                Ok(socket) => {
                    attempt.succeeded = true;
                    return Ok(socket);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_tcp(self, address: SocketAddr) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = stream_socket(family)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let begun = connect(&socket, &address);
        self.reactor.register(self.worker, &socket)?;
        match begun {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                self.reactor.ready(self.worker).await;
                // The event may belong to an earlier socket of this worker and come before the connection is decided.
                while let Err(Errno::NOTCONN) = rustix::net::getpeername(&socket) {
                    sockopt::socket_error(&socket)??;
                    self.reactor.ready(self.worker).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(socket)
    }
}

/// An attempt to connect to one address, which is removed from the known ones unless it succeeds.
struct Attempt<'a> {
    resolver: &'a RefCell<Resolver>,
    host: &'a str,
    port: u16,
    address: SocketAddr,
    succeeded: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            let mut resolver = self.resolver.borrow_mut();
            resolver.remove(self.host, self.port, self.address);
        }
    }
}

fn stream_socket(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
}

//! Plain HTTP/1.1 on the [`Reactor`]: per request one write of bytes made beforehand and, as a rule, one read.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, sockopt,
};

use super::response::{BadResponse, ResponseReader};
use super::{Client, Exchange, Failure, Resolver, redirect};
use crate::engine::{Reactor, Runtime as _};
use crate::plan::{Address, Plan, Redirects, Request, Route};
use crate::recorder::{Answer, Timing};

const READ_AT_ONCE: usize = 32 * 1024;
/// Servers close idle connections after seconds; one that rested this long is looked at before it is used.
const RESTED: Duration = Duration::from_millis(500);
/// The same where a request that meets a closed connection cannot be sent again.
const RESTED_BEFORE_THE_ONLY_TRY: Duration = Duration::from_millis(1);
/// After so many reads of one answer, which may come faster than it is read, the thread's other workers have their turn.
const READS_IN_A_ROW: u32 = 16;
/// A Unix socket whose backlog is full says so at once; this long after it is asked again.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// What the clients of one thread share.
pub(crate) struct Shared<'p> {
    plan: &'p Plan,
    targets: Vec<Prepared>,
    routes: Vec<Route>,
    buffer: RefCell<Vec<u8>>,
    resolver: RefCell<Resolver>,
}

/// A target with its bytes.
struct Prepared {
    wire: Vec<u8>,
    route: usize,
    is_head: bool,
    may_repeat: bool,
    /// A connection that rested for less is used without a look at it.
    trusted_for: Duration,
}

impl<'p> Shared<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        let mut routes: Vec<Route> = Vec::new();
        let targets = plan.targets.iter().map(|target| {
            let route = routes
                .iter()
                .position(|route| *route == target.route)
                .unwrap_or_else(|| {
                    routes.push(target.route.clone());
                    routes.len() - 1
                });
            prepare(&target.request, &target.route, route, plan.keep_alive)
        });
        Self {
            plan,
            targets: targets.collect(),
            routes,
            buffer: RefCell::new(vec![0; READ_AT_ONCE]),
            resolver: RefCell::default(),
        }
    }
}

fn prepare(request: &Request, to: &Route, route: usize, keep_alive: bool) -> Prepared {
    let may_repeat = request.is_idempotent();
    Prepared {
        wire: request.wire(to.proxied, keep_alive, to.proxy_auth.as_ref()),
        route,
        is_head: request.method == Method::HEAD,
        may_repeat,
        trusted_for: if may_repeat {
            RESTED
        } else {
            RESTED_BEFORE_THE_ONLY_TRY
        },
    }
}

/// One worker's connections: at most one to each route.
pub(crate) struct Http1<'s> {
    worker: usize,
    reactor: &'s Reactor,
    shared: &'s Shared<'s>,
    connections: Vec<Option<Connection>>,
}

struct Connection {
    socket: OwnedFd,
    used: Instant,
}

/// One answer with what decides how to go on.
struct Reply {
    status: u16,
    bytes: u64,
    keep_alive: bool,
    location: Option<String>,
    timing: Timing,
    done: Instant,
}

impl<'s> Http1<'s> {
    pub(crate) fn new(worker: usize, reactor: &'s Reactor, shared: &'s Shared<'s>) -> Self {
        let connections = shared.routes.iter().map(|_| None).collect();
        Self {
            worker,
            reactor,
            shared,
            connections,
        }
    }

    /// Sends prepared bytes over the connection kept for its route, or over a new one.
    async fn send_prepared(
        &mut self,
        prepared: &Prepared,
        started: Instant,
    ) -> Result<Reply, Failure> {
        let route = prepared.route;
        if let Some(kept) = self.connections[route].take()
            && (started.saturating_duration_since(kept.used) < prepared.trusted_for
                || kept.is_open())
        {
            match self
                .converse(&kept.socket, prepared, started, Timing::default())
                .await
            {
                Err(failure) if failure.is_stale_connection() && prepared.may_repeat => {}
                other => return self.keep(route, kept.socket, other),
            }
        }
        // Boxed as it is rare: what every worker keeps in the cache should be small.
        let (socket, timing) = Box::pin(self.connect(&self.shared.routes[route].address)).await?;
        let result = self
            .converse(&socket, prepared, Instant::now(), timing)
            .await;
        self.keep(route, socket, result)
    }

    /// Keeps the connection if the answer leaves it usable.
    fn keep(
        &mut self,
        route: usize,
        socket: OwnedFd,
        result: Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        if let Ok(reply) = &result
            && reply.keep_alive
            && self.shared.plan.keep_alive
        {
            self.connections[route] = Some(Connection {
                socket,
                used: reply.done,
            });
        }
        result
    }

    async fn connect(&self, to: &Address) -> Result<(OwnedFd, Timing), Failure> {
        let started = Instant::now();
        let mut timing = Timing::default();
        let (host, port) = match to {
            Address::Unix(path) => {
                let failure = |error: Errno| Failure::Connect(to.clone(), error.into());
                let address = SocketAddrUnix::new(path).map_err(failure)?;
                let socket = stream(AddressFamily::UNIX).map_err(failure)?;
                while let Err(error) = connect(&socket, &address) {
                    if error != Errno::AGAIN || self.reactor.is_cancelled() {
                        return Err(failure(error));
                    }
                    let again = Instant::now() + BACKLOG_PAUSE;
                    self.reactor.sleep_until(self.worker, again).await;
                }
                let registered = self.reactor.register(self.worker, &socket);
                registered.map_err(|error| Failure::Connect(to.clone(), error))?;
                timing.dial = started.elapsed();
                return Ok((socket, timing));
            }
            Address::Tcp(host, port) => (host, *port),
        };
        let (addresses, lookup) = self.shared.resolver.borrow_mut().resolve(host, port)?;
        timing.lookup = lookup;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            // Taken out unless it answers: the request's time may be over, or the run, while this one is tried.
            let mut tried = Tried {
                resolver: &self.shared.resolver,
                host,
                port,
                address,
                answers: false,
            };
            match self.connect_tcp(address).await {
                Ok(socket) => {
                    tried.answers = true;
                    timing.dial = started.elapsed();
                    return Ok((socket, timing));
                }
                Err(error) => last = error,
            }
        }
        Err(Failure::Connect(to.clone(), last))
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = stream(family)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let begun = connect(&socket, &address);
        self.reactor.register(self.worker, &socket)?;
        match begun {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                self.reactor.ready(self.worker).await;
                // A stale wake-up of an earlier socket comes before the connection is made or refused.
                while let Err(Errno::NOTCONN) = rustix::net::getpeername(&socket) {
                    sockopt::socket_error(&socket)??;
                    self.reactor.ready(self.worker).await;
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(socket)
    }

    /// Writes the request and reads the answer.
    async fn converse(
        &self,
        socket: &OwnedFd,
        prepared: &Prepared,
        started: Instant,
        mut timing: Timing,
    ) -> Result<Reply, Failure> {
        let mut reader = ResponseReader::new(
            prepared.is_head,
            !matches!(self.shared.plan.redirects, Redirects::Off),
        );
        let mut rest = &*prepared.wire;
        let mut unsent = write_on(socket, &mut rest).err();
        let mut written = Instant::now();
        let mut first_byte = None;
        let mut now = written;
        if rest.is_empty() {
            self.reactor.ready(self.worker).await;
        }
        let mut reads = 0;
        loop {
            // Only what is read and understood without waiting borrows the thread's buffer.
            let read = {
                let mut buffer = self.shared.buffer.borrow_mut();
                match recv(socket, &mut **buffer, RecvFlags::empty()) {
                    Ok((0, _)) => {
                        now = Instant::now();
                        reader.end().map(|()| Some(true)).map_err(Failure::from)
                    }
                    Ok((length, _)) => {
                        now = Instant::now();
                        first_byte.get_or_insert(now);
                        // Not complete: what follows may have come with the same event, the end of the
                        // connection included, and there would be no other one.
                        Ok(Some(reader.feed(&buffer[..length])?))
                    }
                    Err(Errno::AGAIN) => Ok(None),
                    Err(Errno::INTR) => Ok(Some(false)),
                    // What has begun to be answered has been acted on, and is no request to repeat.
                    Err(_) if first_byte.is_some() => Err(BadResponse::Truncated.into()),
                    Err(error) => Err(Failure::Read(error.into())),
                }
            };
            match read {
                Ok(Some(true)) => break,
                Ok(Some(false)) => {
                    reads += 1;
                    if reads == READS_IN_A_ROW {
                        reads = 0;
                        self.reactor.let_others(self.worker).await;
                    }
                }
                // A server may answer before it has read all of the request, and then read no more or hang up, so
                // an answer is looked for first. Without one the reason is why the request could not be sent.
                other => match (unsent.take(), other) {
                    (Some(failure), _) | (None, Err(failure)) => return Err(failure),
                    (None, Ok(_)) => {
                        self.reactor.ready(self.worker).await;
                        if !rest.is_empty() {
                            unsent = write_on(socket, &mut rest).err();
                            written = Instant::now();
                        }
                    }
                },
            }
        }
        timing.write = written.saturating_duration_since(started);
        let first_byte = first_byte.unwrap_or(now);
        timing.wait = first_byte.saturating_duration_since(written);
        timing.read = now.saturating_duration_since(first_byte);
        Ok(Reply {
            status: reader.status(),
            bytes: reader.bytes(),
            keep_alive: reader.keep_alive() && rest.is_empty(),
            location: reader.into_location(),
            timing,
            done: now,
        })
    }

    /// Follows redirects from `reply` on; connections are kept only where the plan's routes lead.
    async fn follow(&mut self, target: usize, mut reply: Reply) -> Result<Reply, Failure> {
        let shared = self.shared;
        let first = &shared.plan.targets[target];
        let mut followed: Option<Request> = None;
        for hops in 0.. {
            let request = followed.as_ref().unwrap_or(&first.request);
            let (status, location) = (reply.status, reply.location.as_deref());
            let Some(next) = redirect::next(&shared.plan.redirects, request, status, location)?
            else {
                break;
            };
            if hops == redirect::MOST {
                return Err(Failure::TooManyRedirects);
            }
            if next.uri.scheme_str() == Some("https") {
                // Its path may be another one each time, and texts are counted.
                let host = next.uri.host().unwrap_or_default();
                return Err(Failure::LeadsToTls(host.to_owned()));
            }
            let to = redirect::route(&shared.plan.redirects, &first.route, &next)?;
            let before = reply.timing;
            reply = match shared.routes.iter().position(|route| *route == to) {
                Some(route) => {
                    let prepared = prepare(&next, &to, route, shared.plan.keep_alive);
                    self.send_prepared(&prepared, Instant::now()).await?
                }
                None => {
                    let prepared = prepare(&next, &to, 0, false);
                    let (socket, timing) = self.connect(&to.address).await?;
                    self.converse(&socket, &prepared, Instant::now(), timing)
                        .await?
                }
            };
            reply.timing += before;
            followed = Some(next);
        }
        Ok(reply)
    }
}

impl Client for Http1<'_> {
    async fn exchange(&mut self, target: usize, started: Instant) -> Result<Exchange, Failure> {
        let shared = self.shared;
        let mut reply = self.send_prepared(&shared.targets[target], started).await?;
        if reply.location.is_some() {
            // Boxed, for it is rare and large: every worker's future would have room for it.
            reply = Box::pin(self.follow(target, reply)).await?;
        }
        let answer = Answer {
            status: reply.status,
            bytes: reply.bytes,
            timing: reply.timing,
        };
        Ok(Exchange {
            answer,
            done: reply.done,
        })
    }
}

/// An address while it is tried; if it does not answer it is not asked again.
struct Tried<'a> {
    resolver: &'a RefCell<Resolver>,
    host: &'a str,
    port: u16,
    address: SocketAddr,
    answers: bool,
}

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if !self.answers {
            let mut resolver = self.resolver.borrow_mut();
            resolver.take_out(self.host, self.port, self.address);
        }
    }
}

impl Connection {
    /// Whether the server has neither closed the connection nor sent anything unasked.
    fn is_open(&self) -> bool {
        matches!(
            recv(&self.socket, &mut [0; 1], RecvFlags::PEEK),
            Err(Errno::AGAIN)
        )
    }
}

/// Writes as much of `rest` as the socket takes, and leaves what it does not.
fn write_on(socket: &OwnedFd, rest: &mut &[u8]) -> Result<(), Failure> {
    while !rest.is_empty() {
        match send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => *rest = &rest[sent..],
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::Write(error.into())),
        }
    }
    Ok(())
}

fn stream(family: AddressFamily) -> rustix::io::Result<OwnedFd> {
    socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
}

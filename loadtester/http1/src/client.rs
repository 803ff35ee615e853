//! Sends requests and reads responses: per request one write of encoded bytes and, as a rule, one read.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use crate::connect::Connector;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::reactor::Reactor;
use crate::request::Request;
use crate::resolver::Resolver;
use crate::response::{BadResponse, ResponseReader};
use crate::stream::Stream;
use crate::timing::Timing;

/// Size of the read buffer that the clients of one thread share.
const BUFFER: usize = 32 * 1024;
/// A response can arrive faster than it is read. After this many reads the thread's other workers go first.
const READS_IN_A_ROW: u32 = 16;
/// Endpoints that [`Shared::endpoint_if_room`] registers. Servers can name any number, and each takes a connection for each worker.
const MOST_ENDPOINTS: usize = 64;

/// Settings of the clients of one thread.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keep connections for the next request.
    pub keep_alive: bool,
    /// Return the `Location` header of responses.
    pub wants_location: bool,
    /// TLS settings; ALPN must offer `http/1.1` alone, or nothing.
    pub tls: Arc<ClientConfig>,
}

/// State that the clients of one thread share: settings, known endpoints and addresses, the read buffer.
pub struct Shared<'r> {
    reactor: &'r Reactor,
    settings: Settings,
    endpoints: RefCell<Vec<Rc<Endpoint>>>,
    buffer: RefCell<Vec<u8>>,
    resolver: RefCell<Resolver>,
}

/// An endpoint whose connections are kept; belongs to one [`Shared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointId(usize);

impl<'r> Shared<'r> {
    /// Shared state without any endpoint.
    pub fn new(reactor: &'r Reactor, settings: Settings) -> Self {
        Self {
            reactor,
            settings,
            endpoints: RefCell::default(),
            buffer: RefCell::new(vec![0; BUFFER]),
            resolver: RefCell::default(),
        }
    }

    /// Registers an endpoint; equal endpoints share an id.
    pub fn endpoint(&self, endpoint: Endpoint) -> EndpointId {
        self.find(&endpoint).unwrap_or_else(|| {
            let mut endpoints = self.endpoints.borrow_mut();
            endpoints.push(Rc::new(endpoint));
            EndpointId(endpoints.len() - 1)
        })
    }

    /// Registers an endpoint that a server named; `None` if too many are registered already.
    pub fn endpoint_if_room(&self, endpoint: &Endpoint) -> Option<EndpointId> {
        let has_room = self.endpoints.borrow().len() < MOST_ENDPOINTS;
        let register = || has_room.then(|| self.endpoint(endpoint.clone()));
        self.find(endpoint).or_else(register)
    }

    fn find(&self, endpoint: &Endpoint) -> Option<EndpointId> {
        let endpoints = self.endpoints.borrow();
        let at = endpoints.iter().position(|known| **known == *endpoint);
        at.map(EndpointId)
    }
}

/// Client of one worker: sends one request at a time and keeps at most one connection to each endpoint.
pub struct Client<'s> {
    worker: usize,
    shared: &'s Shared<'s>,
    /// By [`EndpointId`].
    connections: Vec<Option<Connection>>,
}

struct Connection {
    stream: Stream,
    used: Instant,
}

/// A response without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Bytes of the body as transferred, without framing.
    pub bytes: u64,
    /// `Location` header, if the settings ask for it.
    pub location: Option<String>,
    /// Durations of the phases.
    pub timing: Timing,
    /// When the last byte was read.
    pub done: Instant,
}

/// A reply, and whether its connection can be kept.
type Kept = (Reply, bool);

impl<'s> Client<'s> {
    /// The client of worker `worker` of the reactor.
    pub fn new(worker: usize, shared: &'s Shared<'s>) -> Self {
        Self {
            worker,
            shared,
            connections: Vec::new(),
        }
    }

    /// Sends a request over the connection kept for the endpoint, or over a new one. A kept connection that turns out to be
    /// closed is replaced, and an idempotent request is sent again. Dropping the future closes the connection.
    ///
    /// # Errors
    /// There is no complete response; see [`Error`].
    pub async fn send(
        &mut self,
        to: EndpointId,
        request: &Request,
        started: Instant,
    ) -> Result<Reply, Error> {
        if let Some(Some(kept)) = self.connections.get_mut(to.0).map(Option::take) {
            let mut stream = kept.stream;
            let idle = started.saturating_duration_since(kept.used);
            if idle < request.trusted_idle_time() || stream.is_usable() {
                let exchange = self.exchange(&mut stream, request, started, Timing::default());
                match exchange.await {
                    Err(error) if error.is_stale_connection() && request.may_repeat() => {}
                    other => return self.keep(to, stream, other),
                }
            }
        }
        let endpoint = Rc::clone(&self.shared.endpoints.borrow()[to.0]);
        // Boxed because it is rare and large, and every worker's future would have room for it.
        let (mut stream, timing) = Box::pin(self.connector().connect(&endpoint)).await?;
        let exchange = self.exchange(&mut stream, request, Instant::now(), timing);
        let result = exchange.await;
        self.keep(to, stream, result)
    }

    /// Sends a request over a new connection that is not kept. The request should say `Connection: close`.
    ///
    /// # Errors
    /// There is no complete response; see [`Error`].
    pub async fn send_once(&mut self, to: &Endpoint, request: &Request) -> Result<Reply, Error> {
        let (mut stream, timing) = self.connector().connect(to).await?;
        let exchange = self.exchange(&mut stream, request, Instant::now(), timing);
        Ok(exchange.await?.0)
    }

    fn connector(&self) -> Connector<'s> {
        Connector {
            worker: self.worker,
            reactor: self.shared.reactor,
            resolver: &self.shared.resolver,
            tls: &self.shared.settings.tls,
        }
    }

    /// Keeps the connection if the response leaves it usable.
    fn keep(
        &mut self,
        to: EndpointId,
        stream: Stream,
        result: Result<Kept, Error>,
    ) -> Result<Reply, Error> {
        let (reply, reusable) = result?;
        if reusable && self.shared.settings.keep_alive {
            if self.connections.len() <= to.0 {
                self.connections.resize_with(to.0 + 1, || None);
            }
            let used = reply.done;
            self.connections[to.0] = Some(Connection { stream, used });
        }
        Ok(reply)
    }

    /// Writes the request and reads the response.
    async fn exchange(
        &self,
        stream: &mut Stream,
        request: &Request,
        started: Instant,
        mut timing: Timing,
    ) -> Result<Kept, Error> {
        let reactor = self.shared.reactor;
        let wants_location = self.shared.settings.wants_location;
        let mut reader = ResponseReader::new(request.is_head(), wants_location);
        let mut rest = request.bytes();
        let mut write_error = None;
        let mut all_sent = send(stream, &mut rest, &mut write_error);
        let mut written = Instant::now();
        let mut first_byte = None;
        let mut now = written;
        if all_sent {
            reactor.ready(self.worker).await;
        }
        let mut reads = 0;
        loop {
            // The thread's buffer is borrowed only while nothing waits.
            let read = {
                let mut buffer = self.shared.buffer.borrow_mut();
                match stream.receive(&mut buffer) {
                    Ok(0) => {
                        now = Instant::now();
                        reader.end().map(|()| Some(true)).map_err(Error::from)
                    }
                    Ok(length) => {
                        now = Instant::now();
                        first_byte.get_or_insert(now);
                        // If the response is incomplete, reading goes on: the rest, or the end of the connection, may
                        // have come with the same event, and then there is no other one.
                        Ok(Some(reader.feed(&buffer[..length])?))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    // The server has acted on a request that it began to respond to, so it must not be repeated.
                    Err(_) if first_byte.is_some() => Err(BadResponse::Truncated.into()),
                    Err(error) => Err(Error::Read(error)),
                }
            };
            match read {
                Ok(Some(true)) => break,
                Ok(Some(false)) => {
                    reads += 1;
                    if reads == READS_IN_A_ROW {
                        reads = 0;
                        reactor.yield_now(self.worker).await;
                    }
                }
                // A server may respond before it has read the whole request, and then read no more or close. So the
                // response is read first, and only without one does the failed write count.
                other => match (write_error.take(), other) {
                    (Some(error), _) => return Err(Error::Write(error)),
                    (None, Err(error)) => return Err(error),
                    (None, Ok(_)) => {
                        reactor.ready(self.worker).await;
                        if !all_sent {
                            all_sent = send(stream, &mut rest, &mut write_error);
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
        let reusable = reader.keep_alive() && all_sent;
        let reply = Reply {
            status: reader.status(),
            bytes: reader.bytes(),
            location: reader.into_location(),
            timing,
            done: now,
        };
        Ok((reply, reusable))
    }
}

/// Sends as much as the socket takes; true once all bytes are sent. An error is stored in `failure`.
fn send(stream: &mut Stream, rest: &mut &[u8], failure: &mut Option<io::Error>) -> bool {
    match stream.send(rest) {
        Ok(all_sent) => all_sent,
        Err(error) => {
            *failure = Some(error);
            false
        }
    }
}

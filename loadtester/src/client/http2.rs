//! HTTP/2 by hyper on tokio, and HTTP/1.1 with servers that do not agree on HTTP/2.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Uri;
use http::header::{CONNECTION, HOST, LOCATION};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadtester_http1::{BadResponse, Error, Reply, Timing, is_closed_by_peer};
use rustls::ClientConfig;
use tokio::sync::Mutex;

use super::connect::connect;
use super::failure::Failure;
use super::redirect::Client;
use crate::plan::{Plan, Protocol, Request, Route};

/// Connections are kept by route, scheme and authority.
type Key = (Route, String);

/// Connections that one worker keeps. A run has few servers; one that redirects can name any number.
const MOST_KEPT: usize = 64;

/// State that the clients of one thread share: the settings, and the HTTP/2 connections.
pub(crate) struct Shared<'p> {
    plan: &'p Plan,
    tls: Arc<ClientConfig>,
    /// An async lock: a worker holds it while it connects, and others wait for that connection instead of making their own.
    http2: Mutex<HashMap<Key, Http2>>,
    /// Number of the newest connection.
    number: Cell<u64>,
}

/// An HTTP/2 connection. Its number distinguishes it from the one that replaces it.
#[derive(Clone)]
struct Http2 {
    number: u64,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl<'p> Shared<'p> {
    pub(crate) fn new(plan: &'p Plan, tls: Arc<ClientConfig>) -> Self {
        Self {
            plan,
            tls,
            http2: Mutex::default(),
            number: Cell::new(0),
        }
    }
}

/// One worker's client.
pub(crate) struct Http2Client<'s> {
    shared: &'s Shared<'s>,
    http1: HashMap<Key, http1::SendRequest<Full<Bytes>>>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(Http2),
}

impl<'s> Http2Client<'s> {
    pub(crate) fn new(shared: &'s Shared<'s>) -> Self {
        Self {
            shared,
            http1: HashMap::new(),
        }
    }

    /// Sends one request over a kept connection or a new one, and again if the kept one had just been closed.
    async fn send_to(&mut self, request: &Request, route: &Route) -> Result<Reply, Failure> {
        let key = (route.clone(), key_of(&request.uri));
        if let Some(sender) = self.kept(&key).await {
            let timing = Timing::default();
            let number = match &sender {
                Sender::Http1(_) => None,
                Sender::Http2(connection) => Some(connection.number),
            };
            match self.converse(sender, &key, request, timing).await {
                Err(failure) if failure.is_stale_connection() && request.is_idempotent() => {}
                other => return other,
            }
            // The connection may still accept requests after it has announced that it will not handle them.
            let mut connections = self.shared.http2.lock().await;
            if connections.get(&key).map(|held| held.number) == number {
                connections.remove(&key);
            }
            drop(connections);
        }
        let (sender, timing) = self.connect(&key, request).await?;
        self.converse(sender, &key, request, timing).await
    }

    async fn kept(&mut self, key: &Key) -> Option<Sender> {
        if let Some(mut sender) = self.http1.remove(key)
            && sender.ready().await.is_ok()
        {
            return Some(Sender::Http1(sender));
        }
        if !self.shared.plan.keep_alive {
            return None;
        }
        let mut connections = self.shared.http2.lock().await;
        let connection = connections.get_mut(key)?;
        if connection.sender.ready().await.is_err() {
            connections.remove(key);
            return None;
        }
        Some(Sender::Http2(connection.clone()))
    }

    async fn connect(&self, key: &Key, request: &Request) -> Result<(Sender, Timing), Failure> {
        let plan = self.shared.plan;
        let mut connections = None;
        if plan.keep_alive {
            let held = self.shared.http2.lock().await;
            // Another worker connected while this one waited for the lock.
            if let Some(connection) = held.get(key).filter(|held| !held.sender.is_closed()) {
                return Ok((Sender::Http2(connection.clone()), Timing::default()));
            }
            connections = Some(held);
        }
        let connected = connect(plan, &key.0, request, &self.shared.tls).await?;
        let io = TokioIo::new(connected.stream);
        if plan.protocol == Protocol::Http2Plain || connected.agreed_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(failed)?;
            // If the connection ends, its requests fail.
            tokio::spawn(connection);
            self.shared.number.set(self.shared.number.get() + 1);
            let connection = Http2 {
                number: self.shared.number.get(),
                sender,
            };
            if let Some(connections) = &mut connections {
                connections.insert(key.clone(), connection.clone());
            }
            return Ok((Sender::Http2(connection), connected.timing));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
        tokio::spawn(connection);
        Ok((Sender::Http1(sender), connected.timing))
    }

    async fn converse(
        &mut self,
        sender: Sender,
        key: &Key,
        request: &Request,
        mut timing: Timing,
    ) -> Result<Reply, Failure> {
        let sent = Instant::now();
        let keep_alive = self.shared.plan.keep_alive;
        let (response, kept) = match sender {
            Sender::Http1(mut sender) => {
                let message = http1_message(request, &key.0, keep_alive);
                (
                    sender.send_request(message).await.map_err(failed)?,
                    Some(sender),
                )
            }
            Sender::Http2(mut connection) => {
                let message = http2_message(request)?;
                (
                    connection
                        .sender
                        .send_request(message)
                        .await
                        .map_err(failed)?,
                    None,
                )
            }
        };
        let first_byte = Instant::now();
        timing.wait = first_byte - sent;
        let status = response.status().as_u16();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        let bytes = read(response.into_body()).await?;
        let done = Instant::now();
        timing.read = done - first_byte;
        if let Some(sender) = kept.filter(|_| keep_alive) {
            if self.http1.len() == MOST_KEPT {
                self.http1.clear();
            }
            self.http1.insert(key.clone(), sender);
        }
        Ok(Reply {
            status,
            location,
            bytes,
            timing,
            done,
        })
    }
}

impl Client for Http2Client<'_> {
    async fn send_target(&mut self, target: usize, _: Instant) -> Result<Reply, Failure> {
        let target = &self.shared.plan.targets[target];
        self.send_to(&target.request, &target.route).await
    }

    async fn send(&mut self, request: &Request, route: &Route) -> Result<Reply, Failure> {
        self.send_to(request, route).await
    }
}

fn key_of(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

/// The request in HTTP/1.1: with the path for a server or a tunnel, with the whole URI for a forwarding proxy.
fn http1_message(request: &Request, route: &Route, keep_alive: bool) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.headers_mut() = request.headers.clone();
    if route.proxied && request.uri.scheme_str() != Some("https") {
        *message.uri_mut() = request.uri.clone();
        if let Some(credentials) = &route.proxy_auth {
            message
                .headers_mut()
                .insert(http::header::PROXY_AUTHORIZATION, credentials.clone());
        }
    } else if let Some(path) = request.uri.path_and_query() {
        *message.uri_mut() = Uri::from(path.clone());
    }
    if !keep_alive {
        message
            .headers_mut()
            .insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
    message
}

/// The request in HTTP/2: the host is part of the URI.
fn http2_message(request: &Request) -> Result<http::Request<Full<Bytes>>, Failure> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.headers_mut() = request.headers.clone();
    let mut parts = request.uri.clone().into_parts();
    if let Some(host) = message.headers_mut().remove(HOST) {
        parts.authority = host.as_bytes().try_into().ok().or(parts.authority);
    }
    *message.uri_mut() =
        Uri::from_parts(parts).map_err(|error| Failure::Http2(error.to_string()))?;
    Ok(message)
}

/// Counts the body and drops it.
async fn read(mut body: Incoming) -> Result<u64, Failure> {
    let mut bytes = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| match failed(error) {
            Failure::Http1(Error::Response(BadResponse::Closed)) => bad(BadResponse::Truncated),
            other => other,
        });
        if let Some(data) = frame?.data_ref() {
            bytes += data.len() as u64;
        }
    }
    Ok(bytes)
}

/// hyper's reason and its sources, which hold the useful part.
fn failed(error: hyper::Error) -> Failure {
    let mut has_ended = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        has_ended |= is_end(cause);
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if has_ended {
        bad(BadResponse::Closed)
    } else {
        Failure::Http2(text)
    }
}

fn bad(response: BadResponse) -> Failure {
    Error::Response(response).into()
}

/// True if the server closed the connection. In HTTP/2 many servers do so regularly after a number of requests.
fn is_end(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        let is_regular = error.reason() == Some(h2::Reason::NO_ERROR);
        return is_regular || error.get_io().is_some_and(is_closed_by_peer);
    }
    cause.downcast_ref().is_some_and(is_closed_by_peer)
}

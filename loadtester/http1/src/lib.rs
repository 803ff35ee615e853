//! HTTP/1.1 client for load generation: many connections on one thread over epoll, with or without TLS.
//!
//! The crate has no runs, schedules or reports. It serves the load tester and any other program that needs many connections and
//! exact times.
//!
//! # Layout
//!
//! - [`Reactor`] runs one future for each worker of a thread: sockets, nanosecond timers, deadlines, cancellation. [`Spin`]
//!   decides how long it polls before it blocks, [`Wake`] reaches it from another thread.
//! - [`Request`] is encoded once and sent many times. [`Endpoint`] says how its server is reached: [`Address`], [`Tunnel`]
//!   through a proxy, TLS.
//! - [`Client`] sends requests for one worker and keeps its connections. [`Shared`] is the state that the clients of one
//!   thread share. A [`Reply`] has the status, the size of the body and the [`Timing`] of the exchange.
//!
//! Calls go one way: client → connect → stream, reactor, resolver; client → response → chunked.
//!
//! # Example
//!
//! ```no_run
//! # fn example(tls: std::sync::Arc<rustls::ClientConfig>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Instant;
//!
//! use http::{HeaderMap, Method, Uri};
//! use loadtester_http1::{Address, Client, Endpoint, Parts, Reactor, Request, Settings, Shared, Wake};
//!
//! let uri = Uri::from_static("http://127.0.0.1:8080/");
//! let request = Request::encode(&Parts {
//!     method: &Method::GET,
//!     uri: &uri,
//!     headers: &HeaderMap::from_iter([(http::header::HOST, "127.0.0.1:8080".parse()?)]),
//!     body: b"",
//!     absolute_form: false,
//!     keep_alive: true,
//! });
//! let reactor = Reactor::new(1, Wake::new()?)?;
//! let settings = Settings { keep_alive: true, wants_location: false, tls };
//! let shared = Shared::new(&reactor, settings);
//! let endpoint = shared.endpoint(Endpoint::plain(Address::of_uri(&uri)));
//! let mut client = Client::new(0, &shared);
//! let worker = async {
//!     for _ in 0..1000 {
//!         let reply = client.send(endpoint, &request, Instant::now()).await;
//!         println!("{reply:?}");
//!     }
//! };
//! reactor.run(vec![Box::pin(worker)], None, |_| {})?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - A request that is not idempotent is sent at most once. An idempotent one is sent again only if a reused connection
//!   was closed before any byte of the response.
//! - A response is framed by RFC 9112 section 6.3. A truncated or malformed one is an [`Error`], never a [`Reply`].
//! - A connection is reused only after a complete response, with nothing after it, to a request that left completely.
//! - Memory is bounded whatever the server sends: heads to 256 KiB, names to 1,024, endpoints that servers name to 64. Bodies are
//!   counted and dropped.
//! - No future is woken early, and none waits past its deadline for longer than the thread's other workers take.
//!
//! # Limits
//!
//! Linux only. No HTTP/2, no pipelining, no decompression, no `Expect: 100-continue`. A name lookup blocks the thread. The
//! futures run only on their [`Reactor`], which has no wakers, so futures of other runtimes cannot be awaited in them.
//!
//! # Why not a general client
//!
//! Measured beside hyper on tokio (as in oha) on two connections, this client makes three times the requests per second for
//! 45 percent of the CPU; at 50 connections 1.7 times for 60 percent. At 2,000 requests per second the gaps between
//! requests have a standard deviation of 80 µs instead of 590 µs, because tokio's timers tick in milliseconds. The load
//! tester's README has the table. With TLS, it takes a third less CPU per request than hyper on tokio with the same rustls.

mod address;
mod chunked;
mod client;
mod connect;
mod endpoint;
mod error;
mod reactor;
mod request;
mod resolver;
mod response;
mod spin;
mod stream;
mod timer;
mod timing;
mod wake;

pub use address::Address;
pub use client::{Client, EndpointId, Reply, Settings, Shared};
pub use endpoint::{Endpoint, Tunnel};
pub use error::{Error, is_closed_by_peer};
pub use reactor::{Reactor, Stopped, Task};
pub use request::{Parts, Request};
pub use response::BadResponse;
pub use spin::Spin;
pub use timing::Timing;
pub use wake::Wake;

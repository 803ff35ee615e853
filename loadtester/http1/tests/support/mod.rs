//! Helpers that send requests on a reactor, and servers that misbehave or speak TLS.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../../../tests/support/server.rs"]
mod server;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Uri};
use loadtester_http1::{
    Address, Client, Endpoint, Parts, Reactor, Reply as Response, Request, Settings, Shared, Task,
    Wake,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

pub(crate) use server::{DEADLINE, Reply, Seen, Server, ok, read_request};

/// A self-signed certificate for `localhost` with its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![self.certificate.clone()],
                PrivateKeyDer::try_from(self.key.clone()).unwrap(),
            );
        Arc::new(config.unwrap())
    }

    /// TLS settings that trust only this certificate.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// A server with TLS on a free port, and its number of connections.
pub(crate) fn tls_server(
    identity: &Identity,
    respond: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let config = identity.server_config();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = raw_server(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut reader = BufReader::new(StreamOwned::new(session, stream));
        while let Some(request) = read_request(&mut reader) {
            match respond(&request) {
                Reply::Keep(bytes) => reader.get_mut().write_all(bytes.as_bytes()).unwrap(),
                // Without `close_notify`, as many servers close.
                Reply::Close(bytes) => {
                    reader.get_mut().write_all(bytes.as_bytes()).unwrap();
                    return;
                }
                Reply::Never => std::thread::sleep(DEADLINE),
            }
        }
    });
    (address, connections)
}

/// A server that passes each connection to `serve` on a new thread.
pub(crate) fn raw_server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads a request up to the end of its head.
pub(crate) fn read_head(stream: &mut impl Read) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(())
}

pub(crate) fn plain(address: SocketAddr) -> Endpoint {
    Endpoint::plain(Address::Tcp(address.ip().to_string(), address.port()))
}

pub(crate) fn request(method: Method, body: &[u8]) -> Request {
    Request::encode(&Parts {
        method: &method,
        uri: &Uri::from_static("http://app.default/path"),
        headers: &HeaderMap::from_iter([(
            http::header::HOST,
            HeaderValue::from_static("app.default"),
        )]),
        body,
        absolute_form: false,
        keep_alive: true,
    })
}

/// Settings that keep connections and trust no certificate.
pub(crate) fn settings() -> Settings {
    Settings {
        keep_alive: true,
        wants_location: true,
        tls: Identity::new().client_config(),
    }
}

/// Results of `each` requests by each of `workers` workers.
pub(crate) fn send(
    settings: Settings,
    to: &Endpoint,
    request: &Request,
    workers: usize,
    each: usize,
) -> Vec<Result<Response, String>> {
    let reactor = Reactor::new(workers, Wake::new().unwrap()).unwrap();
    let shared = Shared::new(&reactor, settings);
    let endpoint = shared.endpoint(to.clone());
    let results = RefCell::new(Vec::new());
    let task = |worker| {
        let (reactor, shared, results) = (&reactor, &shared, &results);
        Box::pin(async move {
            let mut client = Client::new(worker, shared);
            for _ in 0..each {
                let now = Instant::now();
                let exchange = client.send(endpoint, request, now);
                let result = reactor.within(worker, Some(now + DEADLINE), exchange).await;
                let result = result.unwrap().map_err(|error| error.to_string());
                results.borrow_mut().push(result);
            }
        }) as Task<'_>
    };
    let tasks = (0..workers).map(task).collect();
    reactor.run(tasks, None, |_| {}).unwrap();
    results.take()
}

/// Number of results by status code or error.
pub(crate) fn tally(results: &[Result<Response, String>]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for result in results {
        let key = match result {
            Ok(response) => response.status.to_string(),
            Err(error) => error.clone(),
        };
        *tally.entry(key).or_default() += 1;
    }
    tally
}

pub(crate) fn only(key: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(key.to_owned(), count)])
}

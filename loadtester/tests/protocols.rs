//! HTTP/2 and TLS against a server by hyper.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use loadtester::engine::Control;
use rustls::pki_types::PrivateKeyDer;
use support::{load, load_with, wait_until};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server for HTTP/1.1 and HTTP/2, with or without TLS. Its threads end with the test's process.
struct Modern {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    versions: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Modern {
    fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            versions: Arc::default(),
        };
        let (connections, versions) = (
            Arc::clone(&server.connections),
            Arc::clone(&server.versions),
        );
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(stream, tls.clone(), Arc::clone(&versions)));
                }
            });
        });
        server
    }

    fn versions(&self) -> BTreeMap<String, usize> {
        self.versions.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    versions: Arc<Mutex<BTreeMap<String, usize>>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let version = match request.version() {
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        *versions
            .lock()
            .unwrap()
            .entry(version.to_owned())
            .or_default() += 1;
        let is_moved = request.uri().path() == "/moved";
        let to = request.uri().query().unwrap_or("/there").to_owned();
        async move {
            let response = Response::builder();
            let response = if is_moved {
                response
                    .status(302)
                    .header("location", to)
                    .body(Full::default())
            } else {
                response.body(Full::new(Bytes::from_static(b"hello")))
            };
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    let _ = match tls {
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => {
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            }
            Err(_) => Ok(()),
        },
        None => {
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await
        }
    };
}

/// A certificate for `localhost` and 127.0.0.1, also as PEM.
fn tls(protocols: &[&str]) -> (TlsAcceptor, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let acceptor = acceptor(protocols, &made.cert, &made.signing_key);
    (acceptor, made.cert.pem())
}

fn acceptor(
    protocols: &[&str],
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    TlsAcceptor::from(Arc::new(config))
}

fn only(version: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(version.to_owned(), count)])
}

#[test]
fn http2_without_tls_shares_one_connection_per_thread() {
    let server = Modern::start(None);
    let outcome = load(&format!(
        "hey -n 100 -c 10 -cpus 1 --h2c http://{}/",
        server.address
    ));
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(200, 100)]));
    assert_eq!(outcome.totals.bytes(), 500);
    assert_eq!(server.versions(), only("2", 100));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn http2_is_used_if_tls_agrees_on_it_and_http1_otherwise() {
    let modern = Modern::start(Some(tls(&["h2", "http/1.1"]).0));
    load(&format!(
        "hey -n 20 -c 2 -cpus 1 -h2 https://{}/",
        modern.address
    ));
    assert_eq!(modern.versions(), only("2", 20));
    let old = Modern::start(Some(tls(&["http/1.1"]).0));
    let outcome = load(&format!(
        "hey -n 20 -c 2 -cpus 1 -h2 https://{}/",
        old.address
    ));
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(old.versions(), only("1.1", 20));
}

#[test]
fn tls_connections_are_reused_unless_keepalive_is_disabled() {
    let server = Modern::start(Some(tls(&[]).0));
    load(&format!("hey -n 20 -c 2 https://{}/", server.address));
    assert_eq!(server.versions(), only("1.1", 20));
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    load(&format!(
        "hey -n 20 -c 2 -disable-keepalive https://{}/",
        server.address
    ));
    assert_eq!(server.connections.load(Ordering::SeqCst), 22);
}

#[test]
fn certificates_are_checked_only_if_authorities_are_given() {
    let (acceptor, certificate) = tls(&[]);
    let server = Modern::start(Some(acceptor));
    let mut trusted = tempfile::NamedTempFile::new().unwrap();
    trusted.write_all(certificate.as_bytes()).unwrap();
    let mut other = tempfile::NamedTempFile::new().unwrap();
    other.write_all(tls(&[]).1.as_bytes()).unwrap();
    let run = |flags: &str| {
        load(&format!(
            "hey -n 4 -c 1 {flags} https://{}/",
            server.address
        ))
    };
    assert_eq!(run("").totals.responses(), 4);
    assert_eq!(
        run(&format!("--cacert {}", trusted.path().display()))
            .totals
            .responses(),
        4
    );
    let refused = run(&format!("--cacert {}", other.path().display()));
    assert_eq!(refused.totals.responses(), 0);
    let error = refused.totals.errors().keys().next().unwrap();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_trusted_only_if_it_is_given_and_only_for_its_names() {
    // Like the ones of `openssl req -x509`: an authority that is also the server's certificate.
    let self_signed = |name: &str| {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        (parameters.self_signed(&key).unwrap(), key)
    };
    let run = |of_server: &str, trusted: Option<&str>| {
        let (certificate, key) = self_signed(of_server);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let pem = match trusted {
            Some(name) => self_signed(name).0.pem(),
            None => certificate.pem(),
        };
        file.write_all(pem.as_bytes()).unwrap();
        let server = Modern::start(Some(acceptor(&[], &certificate, &key)));
        let (file, port) = (file.path().display(), server.address.port());
        let url = format!("https://127.0.0.1:{port}/");
        load(&format!("hey -n 1 -c 1 --cacert {file} {url}")).totals
    };
    assert_eq!(run("127.0.0.1", None).responses(), 1);
    for totals in [run("127.0.0.1", Some("127.0.0.1")), run("another", None)] {
        assert_eq!(totals.responses(), 0);
        let error = totals.errors().keys().next().unwrap();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert!(!error.contains("CaUsedAsEndEntity"), "{error}");
    }
}

#[test]
fn redirects_limits_and_rates_work_with_http2() {
    let server = Modern::start(None);
    let url = format!("http://{}", server.address);
    let moved = load(&format!("hey -n 6 -c 2 --h2c {url}/moved"));
    assert_eq!(moved.totals.statuses(), BTreeMap::from([(200, 6)]));
    let kept = load(&format!(
        "hey -n 6 -c 2 --h2c -disable-redirects {url}/moved"
    ));
    assert_eq!(kept.totals.statuses(), BTreeMap::from([(302, 6)]));
    let paced = load(&format!("hey -z 500ms --rate 100 -c 4 --h2c {url}/"));
    assert_eq!(paced.totals.requests() + paced.totals.unsent(), 50);
}

#[test]
fn a_redirect_to_https_is_followed_like_any_other() {
    let (plain, tls) = (Modern::start(None), Modern::start(Some(tls(&[]).0)));
    let url = format!(
        "http://{}/moved?https://{}/there",
        plain.address, tls.address
    );
    let moved = load(&format!("hey -n 20 -c 4 {url}")).totals;
    assert_eq!(moved.statuses(), BTreeMap::from([(200, 20)]));
    assert_eq!(moved.errors(), &BTreeMap::new());
    // The run is not restarted: each side gets exactly one request per result.
    assert_eq!(plain.versions(), only("1.1", 20));
    assert_eq!(tls.versions(), only("1.1", 20));
    for server in [&plain, &tls] {
        assert_eq!(server.connections.load(Ordering::SeqCst), 4);
    }

    let paced = load(&format!("hey -z 500ms --rate 100 -c 4 {url}")).totals;
    assert_eq!(paced.requests() + paced.unsent(), 50);
    let kept = load(&format!("hey -n 6 -c 2 -disable-redirects {url}")).totals;
    assert_eq!(kept.statuses(), BTreeMap::from([(302, 6)]));
}

#[test]
fn a_redirect_between_http_and_https_is_followed_in_the_middle_of_a_run() {
    let (plain, tls) = (Modern::start(None), Modern::start(Some(tls(&[]).0)));
    let (http, https) = (
        format!("http://{}", plain.address),
        format!("https://{}", tls.address),
    );
    let totals = load(&format!(
        "hey -n 9 -c 1 {http}/ {http}/moved?{https}/there {https}/moved?{http}/there"
    ))
    .totals;
    assert_eq!(totals.statuses(), BTreeMap::from([(200, 9)]));
    assert_eq!(totals.errors(), &BTreeMap::new());
    assert_eq!(plain.versions(), only("1.1", 9));
    assert_eq!(tls.versions(), only("1.1", 6));
}

#[test]
fn a_cancelled_run_with_http2_ends() {
    let server = Modern::start(None);
    let control = Arc::new(Control::default());
    let command = format!("hey -z 1h -q 50 -c 2 --h2c http://{}/", server.address);
    let running = {
        let control = Arc::clone(&control);
        std::thread::spawn(move || load_with(&command, &[], &control))
    };
    wait_until("figures are published", || {
        control.refresh();
        control
            .snapshot()
            .is_some_and(|(totals, _)| totals.responses() >= 5)
    });
    control.cancel();
    assert!(running.join().unwrap().totals.responses() >= 5);
}

#[test]
fn https_goes_through_a_tunnel_of_the_proxy() {
    let server = Modern::start(Some(tls(&[]).0));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let target = server.address;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = std::io::BufReader::with_capacity(1, stream.try_clone().unwrap());
                let request = support::read_request(&mut reader).unwrap();
                assert_eq!(request.line, "CONNECT app.default:443 HTTP/1.1");
                let mut upstream = std::net::TcpStream::connect(target).unwrap();
                (&stream)
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .unwrap();
                let (mut from, mut to) =
                    (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut upstream, &mut &stream);
            });
        }
    });
    let variables = [("HTTPS_PROXY", &*format!("http://{proxy}"))];
    let outcome = load_with(
        "hey -n 10 -c 2 https://app.default/",
        &variables,
        &Arc::default(),
    );
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(200, 10)]));
}

/// Serves HTTP/2 without TLS. Ends every connection with `NO_ERROR` after `most` requests; requests without a response by then
/// get none.
async fn serve_at_most(most: usize, listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut count = 0;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                count += 1;
                if count > most {
                    connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                } else {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        });
    }
}

#[test]
fn an_http2_connection_that_the_server_ends_regularly_fails_no_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(serve_at_most(50, listener));
    });
    let outcome = load(&format!("hey -n 1000 -c 5 --h2c http://{address}/"));
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(200, 1000)]));
}

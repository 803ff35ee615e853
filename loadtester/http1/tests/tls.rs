//! TLS, directly and through the tunnel of a proxy.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use http::{HeaderValue, Method};
use loadtester_http1::{Address, Endpoint, Settings, Tunnel};
use support::{
    Identity, Reply, ok, only, plain, raw_server, read_request, request, send, settings, tally,
    tls_server,
};

fn secure(address: SocketAddr) -> Endpoint {
    Endpoint {
        tls: Some("localhost".to_owned()),
        ..plain(address)
    }
}

fn trusting(identity: &Identity) -> Settings {
    Settings {
        tls: identity.client_config(),
        ..settings()
    }
}

#[test]
fn a_worker_reuses_one_connection_with_tls() {
    let identity = Identity::new();
    let (address, connections) = tls_server(&identity, |seen| ok(&seen.line));
    let request = request(Method::GET, b"");
    let results = send(trusting(&identity), &secure(address), &request, 2, 20);
    assert_eq!(tally(&results), only("200", 40));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[test]
fn bodies_larger_than_all_buffers_pass_in_both_directions() {
    const LARGE: usize = 5_000_000;
    let identity = Identity::new();
    let (address, _) = tls_server(&identity, |seen| ok(&seen.body));
    let request = request(Method::PUT, &vec![b'a'; LARGE]);
    let results = send(trusting(&identity), &secure(address), &request, 2, 2);
    for result in results {
        assert_eq!(result.unwrap().bytes, LARGE as u64);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error() {
    let (address, _) = tls_server(&Identity::new(), |_| ok(""));
    let results = send(
        trusting(&Identity::new()),
        &secure(address),
        &request(Method::GET, b""),
        1,
        2,
    );
    for result in results {
        let error = result.unwrap_err();
        let begin = format!("cannot connect to {address}: invalid peer certificate");
        assert!(error.starts_with(&begin), "{error}");
    }
}

#[test]
fn a_server_that_closes_without_announcing_it_is_reconnected() {
    let identity = Identity::new();
    let (address, _) = tls_server(&identity, |_| {
        Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned())
    });
    let request = request(Method::GET, b"");
    let results = send(trusting(&identity), &secure(address), &request, 1, 20);
    assert_eq!(tally(&results), only("200", 20));
}

#[test]
fn a_truncated_response_is_an_error_with_tls_too() {
    let identity = Identity::new();
    let (address, _) = tls_server(&identity, |_| {
        Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel".to_owned())
    });
    let request = request(Method::GET, b"");
    let results = send(trusting(&identity), &secure(address), &request, 1, 3);
    let error = "the connection was closed before the response was complete";
    assert_eq!(tally(&results), only(error, 3));
}

/// A proxy that opens tunnels to `target` with this response.
fn proxy(target: SocketAddr, response: &'static str) -> SocketAddr {
    raw_server(move |stream| {
        let mut reader = std::io::BufReader::with_capacity(1, stream.try_clone().unwrap());
        let request = read_request(&mut reader).unwrap();
        assert_eq!(request.line, "CONNECT localhost:443 HTTP/1.1");
        assert_eq!(request.header("proxy-authorization"), Some("Basic dTpw"));
        (&stream).write_all(response.as_bytes()).unwrap();
        let mut upstream = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut upstream, &mut &stream);
    })
}

fn through(proxy: SocketAddr) -> Endpoint {
    Endpoint {
        tunnel: Some(Tunnel {
            to: "localhost:443".to_owned(),
            credentials: Some(HeaderValue::from_static("Basic dTpw")),
        }),
        ..secure(proxy)
    }
}

#[test]
fn tls_goes_through_the_tunnel_of_a_proxy() {
    let identity = Identity::new();
    let (address, connections) = tls_server(&identity, |_| ok("hello"));
    let proxy = proxy(address, "HTTP/1.1 200 Connection established\r\n\r\n");
    let request = request(Method::GET, b"");
    let results = send(trusting(&identity), &through(proxy), &request, 2, 5);
    assert_eq!(tally(&results), only("200", 10));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_refused_tunnel_is_an_error_with_the_status() {
    let identity = Identity::new();
    let (address, _) = tls_server(&identity, |_| ok(""));
    let refused = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let proxy = proxy(address, refused);
    let request = request(Method::GET, b"");
    let results = send(trusting(&identity), &through(proxy), &request, 1, 1);
    let to = Address::Tcp(proxy.ip().to_string(), proxy.port());
    let error = format!("cannot connect to {to}: the proxy refuses the tunnel with status 407");
    assert_eq!(tally(&results), only(&error, 1));
}

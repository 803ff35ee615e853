//! Connections, and servers that respond early, late, partly or not at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::cell::Cell;
use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use loadtester_http1::{Address, Client, Endpoint, Reactor, Shared, Stopped, Task, Wake};
use rustix::net::sockopt::set_socket_linger;
use support::{
    Reply, Server, ok, only, plain, raw_server, read_head, read_request, request, send, settings,
    tally,
};

const SMALL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// More bytes than the socket buffers of both sides take.
const LARGE: usize = 16 << 20;

/// Sends three bodies that do not fit into the buffers; each gets this status.
fn large_posts_get(address: SocketAddr, status: &str) {
    let request = request(Method::POST, &vec![b'a'; LARGE]);
    let results = send(settings(), &plain(address), &request, 1, 3);
    assert_eq!(tally(&results), only(status, 3));
}

#[test]
fn a_worker_reuses_one_connection() {
    let server = Server::start(|seen| ok(&seen.line));
    let results = send(
        settings(),
        &plain(server.address),
        &request(Method::GET, b""),
        3,
        20,
    );
    assert_eq!(tally(&results), only("200", 60));
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
    assert_eq!(server.first().line, "GET /path HTTP/1.1");
    let first = results[0].as_ref().unwrap();
    assert_eq!(first.bytes, server.first().line.len() as u64);
    let connects = |timing: &Duration| !timing.is_zero();
    let dials = results
        .iter()
        .map(|result| result.as_ref().unwrap().timing.dial);
    assert_eq!(dials.filter(connects).count(), 3);
}

#[test]
fn without_keep_alive_each_request_has_its_own_connection() {
    let server = Server::start(|_| ok(""));
    let settings = loadtester_http1::Settings {
        keep_alive: false,
        ..settings()
    };
    let request = request(Method::GET, b"");
    let results = send(settings, &plain(server.address), &request, 1, 5);
    assert_eq!(tally(&results), only("200", 5));
    assert_eq!(server.connections.load(Ordering::SeqCst), 5);
}

#[test]
fn an_idempotent_request_is_sent_again_if_its_connection_was_closed() {
    let server = Server::start(|_| Reply::Close(SMALL.to_owned()));
    let request = request(Method::GET, b"");
    let results = send(settings(), &plain(server.address), &request, 2, 50);
    assert_eq!(tally(&results), only("200", 100));
}

#[test]
fn a_request_that_is_not_idempotent_is_never_sent_twice() {
    let server = Server::start(|_| Reply::Close(String::new()));
    let request = request(Method::POST, b"x");
    let results = send(settings(), &plain(server.address), &request, 1, 3);
    let error = "the connection was closed without a response";
    assert_eq!(tally(&results), only(error, 3));
    assert_eq!(server.count(), 3);
}

#[test]
fn an_idle_connection_is_checked_before_a_request_that_must_not_be_repeated() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let address = raw_server(move |stream| {
        let request = read_request(&mut BufReader::new(&stream)).unwrap();
        assert_eq!(request.body, "hi");
        (&stream).write_all(SMALL.as_bytes()).unwrap();
        drop(stream);
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let reactor = Reactor::new(1, Wake::new().unwrap()).unwrap();
    let shared = Shared::new(&reactor, settings());
    let endpoint = shared.endpoint(plain(address));
    let request = request(Method::POST, b"hi");
    let task = async {
        let mut client = Client::new(0, &shared);
        for number in 1..=10 {
            let response = client.send(endpoint, &request, Instant::now()).await;
            assert_eq!(response.unwrap().status, 200);
            let idle_enough = Instant::now() + Duration::from_millis(5);
            reactor.sleep_until(0, idle_enough).await;
            while closed.load(Ordering::SeqCst) < number {
                let soon = Instant::now() + Duration::from_millis(1);
                reactor.sleep_until(0, soon).await;
            }
        }
    };
    reactor.run(vec![Box::pin(task)], None, |_| {}).unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 10);
}

#[test]
fn a_response_before_the_request_is_written_is_read() {
    let address = raw_server(|mut stream| {
        while read_head(&mut stream).is_some() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            // Both buffers fill up, so the client is waiting to write when the response arrives.
            std::thread::sleep(Duration::from_millis(200));
            let mut body = (&mut stream).take(LARGE as u64);
            std::io::copy(&mut body, &mut std::io::sink()).unwrap();
        }
    });
    large_posts_get(address, "200");
}

#[test]
fn a_response_of_a_server_that_stops_reading_is_read() {
    let held = Mutex::new(Vec::new());
    let address = raw_server(move |mut stream| {
        if read_head(&mut stream).is_some() {
            let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).unwrap();
            held.lock().unwrap().push(stream);
        }
    });
    large_posts_get(address, "413");
}

#[test]
fn a_response_is_read_although_the_body_cannot_be_sent() {
    let address = raw_server(|mut stream| {
        if read_head(&mut stream).is_some() {
            let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    large_posts_get(address, "413");
}

#[test]
fn a_truncated_response_is_an_error_and_its_request_is_not_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let address = raw_server(move |mut stream| {
        for number in 1.. {
            if read_head(&mut stream).is_none() {
                return;
            }
            seen.fetch_add(1, Ordering::SeqCst);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")
                .unwrap();
            if number % 2 == 1 {
                stream.write_all(b"c").unwrap();
                continue;
            }
            std::thread::sleep(Duration::from_millis(50));
            // The connection ends with a reset.
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            return;
        }
    });
    let request = request(Method::GET, b"");
    let results = send(settings(), &plain(address), &request, 1, 6);
    let mut expected = only(
        "the connection was closed before the response was complete",
        3,
    );
    expected.insert("200".to_owned(), 3);
    assert_eq!(tally(&results), expected);
    assert_eq!(requests.load(Ordering::SeqCst), 6);
}

#[test]
fn a_unix_socket_with_a_full_backlog_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::sleep(Duration::from_millis(2));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                while read_request(&mut reader).is_some() {
                    let mut writer = &stream;
                    writer
                        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                        .unwrap();
                }
            });
        }
    });
    let endpoint = Endpoint::plain(Address::Unix(path));
    let results = send(settings(), &endpoint, &request(Method::GET, b""), 40, 1);
    assert_eq!(tally(&results), only("204", 40));
}

#[test]
fn a_body_without_end_stops_at_the_deadline_and_lets_other_workers_go_on() {
    let endless = raw_server(|mut stream| {
        if read_head(&mut stream).is_some() {
            let mut left = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while left.is_ok() {
                left = stream.write_all(&[b'x'; 1 << 16]);
            }
        }
    });
    let server = Server::start(|_| ok(""));
    let reactor = Reactor::new(2, Wake::new().unwrap()).unwrap();
    let shared = Shared::new(&reactor, settings());
    let endpoints = [endless, server.address].map(|address| shared.endpoint(plain(address)));
    let request = request(Method::GET, b"");
    let responses = Cell::new(0);
    let over = Cell::new(false);
    let reads_without_end = Box::pin(async {
        let mut client = Client::new(0, &shared);
        let now = Instant::now();
        let exchange = client.send(endpoints[0], &request, now);
        let deadline = now + Duration::from_millis(300);
        let result = reactor.within(0, Some(deadline), exchange).await;
        assert!(matches!(result, Err(Stopped::Deadline)), "{result:?}");
        over.set(true);
    }) as Task<'_>;
    let goes_on = Box::pin(async {
        let mut client = Client::new(1, &shared);
        while !over.get() {
            let response = client.send(endpoints[1], &request, Instant::now()).await;
            assert_eq!(response.unwrap().status, 200);
            responses.set(responses.get() + 1);
        }
    }) as Task<'_>;
    reactor
        .run(vec![reads_without_end, goes_on], None, |_| {})
        .unwrap();
    assert!(responses.get() > 1, "{}", responses.get());
}

#[test]
fn endpoints_that_servers_name_are_limited_in_number() {
    let reactor = Reactor::new(1, Wake::new().unwrap()).unwrap();
    let shared = Shared::new(&reactor, settings());
    let endpoint = |port| Endpoint::plain(Address::Tcp("app".to_owned(), port));
    let first = shared.endpoint(endpoint(0));
    let registered = (0..1000).filter_map(|port| shared.endpoint_if_room(&endpoint(port)));
    assert_eq!(registered.count(), 64);
    assert_eq!(shared.endpoint_if_room(&endpoint(0)), Some(first));
    // The caller's own endpoints are not limited.
    assert_ne!(shared.endpoint(endpoint(1000)), first);
}

#[test]
fn a_request_over_a_connection_that_is_not_kept_works() {
    let server = Server::start(|_| Reply::Close(SMALL.to_owned()));
    let reactor = Reactor::new(1, Wake::new().unwrap()).unwrap();
    let shared = Shared::new(&reactor, settings());
    let (to, request) = (plain(server.address), request(Method::GET, b""));
    let task = async {
        let mut client = Client::new(0, &shared);
        for _ in 0..3 {
            let response = client.send_once(&to, &request).await.unwrap();
            assert_eq!((response.status, response.bytes), (200, 2));
        }
    };
    reactor.run(vec![Box::pin(task)], None, |_| {}).unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

//! Servers that answer early, late, in part or not at all: what is counted, and that nothing hangs.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use support::{Reply, Server, load, read_request};
use tempfile::NamedTempFile;

/// More than the buffers of both sides take.
const LARGE: usize = 16 << 20;

/// Posts three times what the buffers do not hold; each is answered with this status.
fn large_posts_are_answered(address: SocketAddr, status: u16) {
    let mut body = NamedTempFile::new().unwrap();
    body.write_all(&vec![b'a'; LARGE]).unwrap();
    let path = body.path().display();
    let outcome = load(&format!(
        "hey -n 3 -c 1 -t 10s -m POST -D {path} http://{address}/"
    ));
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(status, 3)]));
}

/// A server that hands each connection to `serve`, on a thread of its own.
fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
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
fn read_head(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(())
}

#[test]
fn an_answer_that_comes_before_the_request_is_written_is_read() {
    let address = raw(|mut stream| {
        while read_head(&mut stream).is_some() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            // Until both buffers are full, so that the client waits to write on when the answer is there.
            std::thread::sleep(Duration::from_millis(200));
            let mut body = (&mut stream).take(LARGE as u64);
            std::io::copy(&mut body, &mut std::io::sink()).unwrap();
        }
    });
    large_posts_are_answered(address, 200);
}

#[test]
fn an_answer_of_a_server_that_reads_no_further_is_read() {
    let held = Mutex::new(Vec::new());
    let address = raw(move |mut stream| {
        if read_head(&mut stream).is_some() {
            let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).unwrap();
            held.lock().unwrap().push(stream);
        }
    });
    large_posts_are_answered(address, 413);
}

#[test]
fn a_refusal_is_read_although_the_body_cannot_be_sent() {
    let address = raw(|mut stream| {
        if read_head(&mut stream).is_some() {
            let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    large_posts_are_answered(address, 413);
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_not_asked_for_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let address = raw(move |mut stream| {
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
            // The end is a reset.
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            return;
        }
    });
    let outcome = load(&format!("hey -n 6 -c 1 http://{address}/"));
    let broken = "the connection was closed within the answer".to_owned();
    assert_eq!(outcome.totals.errors(), &BTreeMap::from([(broken, 3)]));
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(200, 3)]));
    assert_eq!(requests.load(Ordering::SeqCst), 6);
}

#[test]
fn a_unix_socket_whose_backlog_is_full_is_waited_for() {
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
    let command = format!(
        "hey -n 40 -c 40 --unix-socket {} http://anything/",
        path.display()
    );
    let outcome = load(&command);
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(outcome.totals.statuses(), BTreeMap::from([(204, 40)]));
}

#[test]
fn what_must_not_be_repeated_is_not_sent_where_the_server_has_hung_up() {
    // The server closes each connection after its answer, without having said so.
    let server =
        Server::start(|_| Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let command = format!("hey -n 10 -q 50 -c 1 -m POST -d hi {}", server.url());
    let outcome = load(&command);
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(server.count(), 10);
}

#[test]
fn a_server_that_redirects_to_ever_new_places_takes_bounded_memory() {
    let number = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let location = format!("Location: https://127.0.0.1/?state={number}\r\n");
        support::answer("302 Found", &location, "")
    });
    let outcome = load(&format!("hey -n 300 -c 1 {}", server.url()));
    assert_eq!(outcome.totals.errors().len(), 1);
    assert_eq!(outcome.totals.requests(), 300);
}

//! Runs against servers that record and vary the bytes on the wire.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadtester::engine::Control;
use loadtester::recorder::Outcome;
use support::{Reply, Server, load, load_with, ok, response, wait_until};

fn statuses(outcome: &Outcome) -> BTreeMap<u16, u64> {
    outcome.totals.statuses()
}

#[test]
fn the_number_of_requests_is_exact_and_connections_are_reused() {
    let server = Server::start(|_| ok("hello"));
    let outcome = load(&format!("hey -n 100 -c 3 {}", server.url()));
    assert_eq!(server.count(), 100);
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 100)]));
    assert_eq!(outcome.totals.bytes(), 500);
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[test]
fn without_keepalive_every_request_has_its_own_connection() {
    let server = Server::start(|request| {
        assert_eq!(request.header("connection"), Some("close"));
        Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())
    });
    let outcome = load(&format!(
        "hey -n 10 -c 2 -disable-keepalive {}",
        server.url()
    ));
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 10)]));
    assert_eq!(server.connections.load(Ordering::SeqCst), 10);
}

#[test]
fn a_rate_sends_exactly_the_requests_that_are_due() {
    for flags in ["-q 100 -c 4", "--rate 400 -c 4", "--rate 400 -c 4 -cpus 2"] {
        let server = Server::start(|_| ok(""));
        let outcome = load(&format!("hey -z 1s {flags} {}", server.url()));
        // On a machine too busy to send them all, the others are counted as unsent.
        assert_eq!(
            outcome.totals.requests() + outcome.totals.unsent(),
            400,
            "{flags}"
        );
        assert_eq!(server.count() as u64, outcome.totals.responses(), "{flags}");
    }
}

#[test]
fn a_stall_of_the_server_shows_in_the_latency_from_the_due_moment() {
    let requests = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if requests.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(600));
        }
        ok("")
    });
    let outcome = load(&format!("hey -z 1s --rate 200 -c 1 {}", server.url()));
    let corrected = outcome.totals.corrected().unwrap();
    // 120 of 200 requests were due during the stall and waited up to 600 ms.
    assert!(corrected.percentile(80.0).unwrap() > Duration::from_millis(200));
    let waited_as_sent = outcome.totals.latency();
    assert!(waited_as_sent.percentile(80.0).unwrap() < corrected.percentile(80.0).unwrap());
}

#[test]
fn method_headers_and_body_arrive_as_typed() {
    let server = Server::start(|_| ok(""));
    load(&format!(
        "hey -n 1 -c 1 -m post -d '{{\"a\": 1}}' -T application/json -H 'X-Name: some value' \
         -a user:secret -host example.org {}path?q=1",
        server.url()
    ));
    let seen = server.first();
    assert_eq!(seen.line, "POST /path?q=1 HTTP/1.1");
    assert_eq!(seen.body, "{\"a\": 1}");
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("X-Name", "some value"),
        ("Authorization", "Basic dXNlcjpzZWNyZXQ="),
        ("Host", "example.org"),
        ("Accept-Encoding", "gzip"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
}

#[test]
fn names_of_the_cluster_resolve_through_the_proxy_over_kept_connections() {
    let proxy = Server::start(|request| {
        assert_eq!(
            request.line,
            "GET http://simple-app-canary.default:80/ HTTP/1.1"
        );
        assert_eq!(request.header("host"), Some("simple-app-canary.default:80"));
        ok("version: 1.0.1")
    });
    let command = "hey -n 50 -c 2 http://simple-app-canary.default:80/";
    for name in ["HTTP_PROXY", "http_proxy"] {
        let before = proxy.connections.load(Ordering::SeqCst);
        let outcome = load_with(command, &[(name, &proxy.url())], &Arc::default());
        assert_eq!(statuses(&outcome), BTreeMap::from([(200, 50)]));
        assert_eq!(proxy.connections.load(Ordering::SeqCst) - before, 2);
    }
    let variables = [("HTTP_PROXY", &*proxy.url()), ("NO_PROXY", ".invalid")];
    let direct = load_with(
        "hey -n 2 -c 1 http://app.default.invalid/",
        &variables,
        &Arc::default(),
    );
    assert_eq!(
        direct.totals.requests() - direct.totals.responses(),
        2,
        "the name does not exist"
    );
}

#[test]
fn a_proxy_given_as_a_flag_wins_and_gets_its_credentials() {
    let proxy = Server::start(|_| ok(""));
    let url = format!("http://u:p@{}", proxy.address);
    let variables = [("HTTP_PROXY", "http://127.0.0.1:1")];
    load_with(
        &format!("hey -n 1 -x {url} http://app.default/"),
        &variables,
        &Arc::default(),
    );
    assert_eq!(
        proxy.first().header("proxy-authorization"),
        Some("Basic dTpw")
    );
}

#[test]
fn an_idle_connection_that_was_closed_causes_no_failed_request() {
    let server =
        Server::start(|_| Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()));
    let outcome = load(&format!("hey -n 200 -c 4 {}", server.url()));
    assert_eq!(outcome.totals.errors(), &BTreeMap::new());
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 200)]));
}

#[test]
fn a_post_is_not_sent_twice_when_the_server_closes_the_connection() {
    let server = Server::start(|_| Reply::Close(String::new()));
    let outcome = load(&format!("hey -n 3 -c 1 -m POST -d x {}", server.url()));
    assert_eq!(server.count(), 3);
    let error = "the connection was closed without a response".to_owned();
    assert_eq!(outcome.totals.errors(), &BTreeMap::from([(error, 3)]));
}

#[test]
fn bodies_in_chunks_or_up_to_the_end_are_counted() {
    let chunked = Server::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Keep(format!("{head}5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"))
    });
    assert_eq!(
        load(&format!("hey -n 10 -c 1 {}", chunked.url()))
            .totals
            .bytes(),
        110
    );
    assert_eq!(chunked.connections.load(Ordering::SeqCst), 1);
    let endless = Server::start(|_| Reply::Close("HTTP/1.1 200 OK\r\n\r\nhello".into()));
    assert_eq!(
        load(&format!("hey -n 10 -c 1 {}", endless.url()))
            .totals
            .bytes(),
        50
    );
    let large = Server::start(|_| ok(&"x".repeat(300_000)));
    assert_eq!(
        load(&format!("hey -n 4 -c 2 {}", large.url()))
            .totals
            .bytes(),
        1_200_000
    );
}

#[test]
fn a_truncated_response_is_an_error() {
    let cut =
        Server::start(|_| Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel".into()));
    let outcome = load(&format!("hey -n 3 -c 1 {}", cut.url()));
    let error = "the connection was closed before the response was complete".to_owned();
    assert_eq!(outcome.totals.errors(), &BTreeMap::from([(error, 3)]));
}

#[test]
fn a_large_body_is_sent_completely() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "b".repeat(3_000_000)).unwrap();
    let server = Server::start(|request| ok(&request.body.len().to_string()));
    let outcome = load(&format!(
        "hey -n 2 -c 1 -m PUT -D {} {}",
        file.display(),
        server.url()
    ));
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 2)]));
    assert_eq!(server.first().body.len(), 3_000_000);
}

#[test]
fn a_server_that_never_responds_costs_only_the_time_limit() {
    let server = Server::start(|_| Reply::Never);
    let outcome = load(&format!("hey -n 4 -c 2 -t 200ms {}", server.url()));
    let error = "no response within 200ms".to_owned();
    assert_eq!(outcome.totals.errors(), &BTreeMap::from([(error, 4)]));
}

#[test]
fn requests_in_flight_at_the_end_are_awaited_or_counted_as_cut_off() {
    let slow = |_: &support::Seen| {
        std::thread::sleep(Duration::from_millis(1500));
        ok("")
    };
    let server = Server::start(slow);
    let awaited = load(&format!("hey -z 1s -c 3 {}", server.url()));
    assert_eq!(
        (awaited.totals.responses(), awaited.totals.cut_off_count()),
        (3, 0)
    );
    let server = Server::start(slow);
    let cut = load(&format!("hey -z 1s --drain 0s -c 3 {}", server.url()));
    assert_eq!((cut.totals.responses(), cut.totals.cut_off_count()), (0, 3));
}

#[test]
fn redirects_are_followed_up_to_a_limit_unless_disabled() {
    let server = Server::start(|request| match request.line.split(' ').nth(1) {
        Some("/") => response("302 Found", "Location: /there\r\n", "moved"),
        Some("/there") => ok("arrived"),
        _ => response("301 Moved Permanently", "Location: /loop\r\n", ""),
    });
    let followed = load(&format!("hey -n 5 -c 1 {}", server.url()));
    assert_eq!(statuses(&followed), BTreeMap::from([(200, 5)]));
    assert_eq!(server.count(), 10);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let kept = load(&format!(
        "hey -n 5 -c 1 -disable-redirects {}",
        server.url()
    ));
    assert_eq!(statuses(&kept), BTreeMap::from([(302, 5)]));
    let looping = load(&format!("hey -n 1 -c 1 {}loop", server.url()));
    let error = "stopped after 10 redirects".to_owned();
    assert_eq!(looping.totals.errors(), &BTreeMap::from([(error, 1)]));
}

#[test]
fn several_urls_are_requested_in_turn() {
    let (first, second) = (Server::start(|_| ok("1")), Server::start(|_| ok("2")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("urls");
    std::fs::write(
        &file,
        format!("# two\n{}\n\n{}x\n", first.url(), second.url()),
    )
    .unwrap();
    load(&format!("hey -n 20 -c 1 --urls {}", file.display()));
    assert_eq!((first.count(), second.count()), (10, 10));
    assert_eq!(second.first().line, "GET /x HTTP/1.1");
}

#[test]
fn all_workers_together_request_each_url_of_a_list_once() {
    let server = Server::start(|_| ok(""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("urls");
    let urls: Vec<_> = (0..40)
        .map(|page| format!("{}{page}", server.url()))
        .collect();
    std::fs::write(&file, urls.join("\n")).unwrap();
    load(&format!("hey -n 40 -c 7 --urls {}", file.display()));
    let seen = server.seen.lock().unwrap();
    let pages: std::collections::BTreeSet<_> = seen.iter().map(|seen| &seen.line).collect();
    assert_eq!((seen.len(), pages.len()), (40, 40));
}

#[test]
fn workers_of_all_threads_take_the_urls_in_turn() {
    let (first, second) = (Server::start(|_| ok("1")), Server::start(|_| ok("2")));
    let (one, two) = (first.url(), second.url());
    load(&format!("hey -n 2 -c 2 -cpus 2 {one} {two}"));
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[test]
fn a_header_connection_close_is_obeyed() {
    let server = Server::start(|_| ok(""));
    let command = format!("hey -n 4 -c 1 -H 'Connection: close' {}", server.url());
    assert_eq!(statuses(&load(&command)), BTreeMap::from([(200, 4)]));
    assert_eq!(server.connections.load(Ordering::SeqCst), 4);
    assert_eq!(server.first().header("connection"), Some("close"));
}

#[test]
fn a_url_with_an_ipv6_address_in_brackets_works() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        eprintln!("this machine has no IPv6");
        return;
    };
    let server = Server::on(listener, |_| ok(""));
    let port = server.address.port();
    let outcome = load(&format!("hey -n 6 -c 2 http://[::1]:{port}/x"));
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 6)]));
    let host = format!("[::1]:{port}");
    assert_eq!(server.first().header("host"), Some(host.as_str()));
}

#[test]
fn a_name_with_several_addresses_uses_the_one_that_accepts() {
    // `localhost` is mostly ::1 first, where nobody listens.
    let server = Server::start(|_| ok(""));
    let port = server.address.port();
    let outcome = load(&format!(
        "hey -n 6 -c 2 -disable-keepalive http://localhost:{port}/"
    ));
    assert_eq!(statuses(&outcome), BTreeMap::from([(200, 6)]));
}

#[test]
fn a_unix_socket_works_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = std::io::BufReader::new(&stream);
        for _ in 0..5 {
            support::read_request(&mut reader).unwrap();
            let mut writer = &stream;
            std::io::Write::write_all(&mut writer, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let command = format!(
        "hey -n 5 -c 1 --unix-socket {} http://anything/",
        path.display()
    );
    assert_eq!(statuses(&load(&command)), BTreeMap::from([(204, 5)]));
    server.join().unwrap();
}

#[test]
fn refused_connections_are_counted_and_retried_with_pauses() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let outcome = load(&format!("hey -z 300ms -c 1 http://{closed}/"));
    let failed = outcome.totals.requests();
    // Pauses double from 1 ms to 128 ms: 9 attempts fill 300 ms.
    assert!((1..=12).contains(&failed), "{failed}");
    let error = outcome.totals.errors().keys().next().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
}

#[test]
fn requests_of_the_warm_up_are_not_recorded() {
    let server = Server::start(|_| ok(""));
    let outcome = load(&format!(
        "hey -z 500ms --warmup 500ms --rate 100 -c 2 {}",
        server.url()
    ));
    assert_eq!(outcome.totals.requests() + outcome.totals.unsent(), 50);
    assert!(server.count() > 50 || outcome.totals.unsent() > 0);
}

#[test]
fn a_cancelled_run_has_its_results() {
    let server = Server::start(|_| ok(""));
    let control = Arc::new(Control::default());
    let command = format!("hey -z 1h -q 50 -c 2 {}", server.url());
    let running = {
        let control = Arc::clone(&control);
        std::thread::spawn(move || load_with(&command, &[], &control))
    };
    wait_until("some requests are sent", || server.count() >= 10);
    control.refresh();
    wait_until("figures are published", || {
        control
            .snapshot()
            .is_some_and(|(totals, _)| totals.responses() >= 1)
    });
    control.cancel();
    let outcome = running.join().unwrap();
    // Each worker may have been waiting for one response.
    assert!(
        outcome.totals.responses() >= 8,
        "{}",
        outcome.totals.responses()
    );
}

#[test]
fn a_server_that_redirects_to_ever_new_urls_takes_bounded_memory() {
    let target = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let number = target.fetch_add(1, Ordering::SeqCst);
        let location = match number % 2 {
            // Nobody listens on the port.
            0 => format!("Location: http://127.0.0.1:1/?state={number}\r\n"),
            _ => format!("Location: ftp://{number}.example.com/\r\n"),
        };
        response("302 Found", &location, "")
    });
    let outcome = load(&format!("hey -n 40 -c 1 {}", server.url()));
    let errors = outcome.totals.errors();
    assert_eq!(errors.values().copied().collect::<Vec<_>>(), [20, 20]);
    assert_eq!(outcome.totals.requests(), 40);
}

//! Stopping the server.

use super::*;

#[test]
fn sigterm_ends_the_load_tests_and_the_server() {
    let target = Server::start(|_| ok(""));
    let mut server = LoadTester::start(&[], &[]);
    assert_eq!(
        server
            .post(
                "/",
                &webhook(&format!("hey -z 1h -c 2 -q 10 {}", target.url()))
            )
            .0,
        202
    );
    server.terminate();
    assert!(server.stops_with_success());
}

#[test]
fn a_webhook_that_arrives_while_the_server_stops_starts_nothing() {
    let target = Server::start(|_| ok(""));
    let mut server = LoadTester::start(&[], &[]);
    let body = webhook(&format!("hey -z 1h -c 2 -q 10 {}", target.url())).to_string();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");

    server.terminate();
    server.wait_until_logged("stopping");
    stream.write_all(body.as_bytes()).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.contains("HTTP/1.1 503 "), "{text}");
    assert!(text.contains("is stopping"), "{text}");
    assert!(server.stops_with_success());
    assert_eq!(target.count(), 0);
}

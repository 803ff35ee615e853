//! Helpers that run load in this process or call a server.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod server;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtester::command::{Parsed, parse_command};
use loadtester::engine::{self, Control};
use loadtester::plan::{Origin, Plan, Proxies};
use loadtester::recorder::Outcome;

pub(crate) use server::{DEADLINE, Reply, Seen, Server, ok, read_request, response};

/// Runs a command in this process. `variables` are the environment variables for proxies.
pub(crate) fn load_with(
    command: &str,
    variables: &[(&str, &str)],
    control: &Arc<Control>,
) -> Outcome {
    let Parsed::Run(typed) = parse_command(command).unwrap() else {
        panic!("{command} asks for help")
    };
    let get = |name: &str| {
        variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let plan = Plan::new(&typed, &Origin::Person, &Proxies::read(get)).unwrap();
    engine::run(&plan, control, None).unwrap()
}

/// Runs a command in this process.
pub(crate) fn load(command: &str) -> Outcome {
    load_with(command, &[], &Arc::default())
}

/// Sends one request over a new connection; returns status code and body.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {text:?}"));
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Waits until the condition holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

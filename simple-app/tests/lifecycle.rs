//! The real program: start, SIGTERM, drain, stop.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    child: Child,
    app: String,
    metrics: String,
    _stderr: BufReader<ChildStderr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(settings: &[(&str, &str)]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_simple-app"))
        .env_clear()
        .envs([("VERSION", "1.0.1"), ("PORT", "0"), ("METRICS_PORT", "0")])
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let mut addresses = line
        .split("http://")
        .skip(1)
        .map(|rest| rest.split('/').next().unwrap());
    let (app, metrics) = (
        addresses.next().unwrap().into(),
        addresses.next().unwrap().into(),
    );
    Running {
        child,
        app,
        metrics,
        _stderr: stderr,
    }
}

impl Running {
    fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running {DEADLINE:?} after SIGTERM");
    }
}

/// Sends one request over a new connection; returns the whole response.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_draining_app_serves_but_is_not_ready_and_a_second_signal_stops_it() {
    let mut running = start(&[("DRAIN_DELAY", "1m")]);
    assert!(
        get(&running.metrics, "/readyz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    running.terminate();
    wait_until("readiness fails", || {
        get(&running.app, "/readyz").is_ok_and(|response| response.starts_with("HTTP/1.1 503"))
    });
    let response = get(&running.app, "/").unwrap();
    assert!(response.ends_with("version: 1.0.1"), "{response}");
    assert!(response.contains("connection: close"), "{response}");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    let mut log = String::new();
    running
        .child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!(log, "Request: 1, version: 1.0.1\n");
}

#[test]
fn a_request_in_flight_at_the_end_of_the_drain_gets_its_response() {
    let mut running = start(&[("DRAIN_DELAY", "0s"), ("DELAY", "700ms")]);
    let address = running.app.clone();
    let slow = std::thread::spawn(move || get(&address, "/"));
    let mut arrived = String::new();
    BufReader::new(running.child.stdout.take().unwrap())
        .read_line(&mut arrived)
        .unwrap();
    assert_eq!(arrived, "Request: 1, version: 1.0.1\n");
    running.terminate();
    let response = slow.join().unwrap().unwrap();
    assert!(response.ends_with("version: 1.0.1"), "{response}");
    assert_eq!(running.exit_code(), Some(0));
    assert!(
        get(&running.app, "/").is_err(),
        "the app does not listen any more"
    );
}

#[test]
fn an_error_about_a_port_in_use_names_the_port_and_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_simple-app"))
        .env_clear()
        .envs([("PORT", port.as_str()), ("METRICS_PORT", "0")])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains(&port) && message.contains("--port or PORT"),
        "{message}"
    );
}

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

/// Sends one request on a connection of its own; the whole answer.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
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
fn while_draining_it_serves_and_says_so_and_a_second_signal_stops_it() {
    let mut running = start(&[("DRAIN_DELAY", "1m")]);
    assert!(
        get(&running.metrics, "/readyz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    running.terminate();
    wait_until("readiness fails", || {
        get(&running.app, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 503"))
    });
    let answer = get(&running.app, "/").unwrap();
    assert!(answer.ends_with("version: 1.0.1"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
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
fn a_request_that_runs_when_the_drain_ends_still_gets_its_answer() {
    let mut running = start(&[("DRAIN_DELAY", "0s"), ("DELAY", "700ms")]);
    let address = running.app.clone();
    let slow = std::thread::spawn(move || get(&address, "/"));
    let mut arrived = String::new();
    BufReader::new(running.child.stdout.take().unwrap())
        .read_line(&mut arrived)
        .unwrap();
    assert_eq!(arrived, "Request: 1, version: 1.0.1\n");
    running.terminate();
    let answer = slow.join().unwrap().unwrap();
    assert!(answer.ends_with("version: 1.0.1"), "{answer}");
    assert_eq!(running.exit_code(), Some(0));
    assert!(get(&running.app, "/").is_err(), "nobody listens any more");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
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

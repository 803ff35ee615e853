//! The program at a terminal: exit codes and output.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Reply, Server, ok, response, wait_until};

/// Runs `loadtester hey …`: exit code, standard output, standard error.
fn hey(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtester"))
        .arg("hey")
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_run_exits_with_0_for_any_responses_unless_a_condition_fails() {
    let broken = Server::start(|_| response("500 Oops", "", ""));
    let url = broken.url();
    let (code, report, _) = hey(&["-n", "10", "-c", "2", &url]);
    assert_eq!(code, 0);
    assert!(report.contains("  [500]\t10 responses\n"), "{report}");
    let (code, _, message) = hey(&[
        "-n",
        "10",
        "-c",
        "2",
        "--fail-on",
        "errors<1%,requests>=10",
        &url,
    ]);
    assert_eq!(code, 2);
    assert_eq!(message, "hey: errors<1% does not hold: 100.00% failed\n");
    let (code, _, _) = hey(&[
        "-n",
        "10",
        "-c",
        "2",
        "--fail-on",
        "p99<1m,requests>=10",
        &url,
    ]);
    assert_eq!(code, 0);
}

#[test]
fn repeated_conditions_add_up_and_zero_means_no_limit_as_in_hey() {
    let server = Server::start(|_| ok(""));
    let url = server.url();
    let conditions = ["--fail-on", "p99<1ns", "--fail-on", "errors<100%"];
    for order in [[0, 1, 2, 3], [2, 3, 0, 1]] {
        let mut arguments = vec!["-n", "4", "-c", "1", "-q", "0", "-z", "0"];
        arguments.extend(order.map(|at| conditions[at]));
        arguments.push(&url);
        let (code, report, message) = hey(&arguments);
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("p99<1ns"), "{message}");
        assert!(report.contains("[200]\t4 responses"), "{report}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let server = Server::start(|_| ok(""));
    let url = server.url();
    for format in [
        &["-h"][..],
        &["--json", &url],
        &["-o", "csv", &url],
        &[&url],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_loadtester"))
            .args(["hey", "-n", "2", "-c", "1"])
            .args(format)
            .env_clear()
            .stdout(full.unwrap())
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{format:?}: {message}");
        assert!(
            message.contains("cannot write the result: No space left"),
            "{message}"
        );
    }
}

#[test]
fn a_refused_command_line_exits_with_1_and_the_reason() {
    for (arguments, part) in [
        (&["-n", "5"][..], "no URL"),
        (&["--no-such", "http://a/"], "--no-such"),
        (&["ftp://a/"], "http://"),
        (&["-D", "/no/such/file", "http://a/"], "/no/such/file"),
        (&["-m", "G T", "http://a/"], "-m"),
        (&["--fail-on", "speed>5", "http://a/"], "speed>5"),
        (&["-x", "socks5://a:1", "http://a/"], "proxy"),
        (&["-x", "http://a:99999", "http://a/"], "proxy"),
        (&["http://a:80800/"], "port"),
        (&["--fail-on", " , ", "http://a/"], "no condition"),
        (&["--h2c", "https://a/"], "-h2"),
        (&["--rate", "1e10", "http://a/"], "up to 1000000000"),
    ] {
        let (code, out, message) = hey(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}");
        assert!(
            message.contains(part),
            "{arguments:?}: {part} is missing in: {message}"
        );
    }
}

#[test]
fn json_has_the_figures() {
    let server = Server::start(|_| ok("hello"));
    let (code, json, _) = hey(&["-n", "20", "-c", "2", "--json", &server.url()]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["statuses"]["200"], 20);
    assert_eq!(report["bytes"], 100);
    assert!(
        report["latency"]["percentiles"]["99.99"].as_f64() > Some(0.0),
        "{json}"
    );
}

#[test]
fn csv_has_one_row_per_response_in_the_columns_of_hey() {
    let server = Server::start(|_| ok(""));
    let (code, csv, _) = hey(&["-n", "30", "-c", "3", "-o", "csv", &server.url()]);
    assert_eq!(code, 0);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
        )
    );
    let rows: Vec<_> = lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .collect();
    assert_eq!(rows.len(), 30);
    assert!(
        rows.iter().all(|row| row.len() == 8 && row[6] == "200"),
        "{csv}"
    );
}

#[test]
fn help_lists_the_flags() {
    let (code, help, _) = hey(&["-h"]);
    assert_eq!(code, 0);
    for flag in [
        "-n N",
        "-q RATE",
        "-disable-keepalive",
        "--rate RATE",
        "--fail-on CONDITIONS",
    ] {
        assert!(help.contains(flag), "{flag} is missing in: {help}");
    }
}

#[test]
fn more_workers_than_the_soft_limit_of_descriptors_work() {
    let server = Server::start(|_| ok(""));
    let output = Command::new("sh")
        .args(["-c", "ulimit -S -n 48 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_loadtester"))
        .args(["hey", "-n", "200", "-c", "100", &server.url()])
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert!(report.contains("  [200]\t200 responses\n"), "{report}");
}

#[test]
fn under_the_name_hey_the_program_is_hey() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("hey");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_loadtester"), &link).unwrap();
    let server = Server::start(|_| ok(""));
    let output = Command::new(link)
        .args(["-n", "3", "-c", "1", &server.url()])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(server.count(), 3);
}

#[test]
fn an_interrupt_ends_the_run_with_its_report() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        ends_with_its_report(signal);
    }
}

fn ends_with_its_report(signal: rustix::process::Signal) {
    let server = Server::start(|request| {
        // The last requests hang, so the run ends only if it is cut off.
        if request.line.contains("/hang") {
            Reply::Never
        } else {
            ok("")
        }
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadtester"))
        .args([
            "hey",
            "-z",
            "1h",
            "-q",
            "50",
            "-c",
            "2",
            &server.url(),
            &format!("{}hang", server.url()),
        ])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("both workers hang", || {
        server
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.line.contains("/hang"))
            .count()
            == 2
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
    let mut status = None;
    wait_until("the program has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let mut report = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut report)
        .unwrap();
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(
        report.contains("Cut off at the end:\t2 requests"),
        "{report}"
    );
}

//! Compares the command line with the real hey (Debian's package): the same requests on the wire, the same report.
//!
//! The variable `HEY` or the `PATH` names the real hey.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod support;

use std::path::PathBuf;
use std::process::{Command, Output};

use regex_lite::Regex;
use support::{Seen, Server, ok, response};

fn real_hey() -> PathBuf {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("hey"))
            .find(|file| file.is_file())
    };
    std::env::var_os("HEY")
        .map(PathBuf::from)
        .or_else(on_path)
        .expect(
            "these tests compare with the real hey: install Debian's package `hey`, or unpack it \
         (apt-get download hey; dpkg -x hey_*.deb DIR) and set HEY=DIR/usr/bin/hey",
        )
}

/// Runs a tool against a new server: the requests it sent, its output, the server's address.
fn run(
    mut tool: Command,
    flags: &[&str],
    reply: fn(&Seen) -> support::Reply,
) -> (Vec<Seen>, Output, String) {
    let server = Server::start(reply);
    let output = tool
        .args(flags)
        .arg(server.url())
        .env_remove("HTTP_PROXY")
        .output()
        .unwrap();
    let seen = server.seen.lock().unwrap().clone();
    (seen, output, server.address.to_string())
}

fn both(flags: &[&str], reply: fn(&Seen) -> support::Reply) -> [(Vec<Seen>, Output, String); 2] {
    let mut ours = Command::new(env!("CARGO_BIN_EXE_loadtester"));
    ours.arg("hey");
    [
        run(Command::new(real_hey()), flags, reply),
        run(ours, flags, reply),
    ]
}

/// Each request with its headers in order of their names; the parts that must differ (port, user agent) are replaced.
fn requests(seen: &[Seen], address: &str) -> Vec<String> {
    let one = |request: &Seen| {
        let mut headers = request.headers.clone();
        headers.retain(|header| !header.starts_with("User-Agent:"));
        headers.sort();
        format!(
            "{}\n{}\n\n{}",
            request.line,
            headers.join("\n"),
            request.body
        )
        .replace(address, "ADDRESS")
    };
    let mut requests: Vec<_> = seen.iter().map(one).collect();
    requests.sort();
    requests
}

/// The report up to its status codes, with `N` for measured values and without bars.
fn shape(report: &[u8]) -> String {
    let report = String::from_utf8(report.to_vec()).unwrap();
    let start = report.find("Status code distribution:").unwrap();
    let end = report[start..]
        .find("\n\n")
        .map_or(report.len(), |length| start + length);
    let report = report[..end].trim_end();
    let rows = Regex::new(r"\[\d+\]\t\|■*")
        .unwrap()
        .replace_all(report, "[N]\t|");
    Regex::new(r"\d+\.\d{3,4}\b")
        .unwrap()
        .replace_all(&rows, "N")
        .into_owned()
}

#[test]
fn the_same_flags_send_the_same_requests() {
    for flags in [
        &["-n", "12", "-c", "3"][..],
        &[
            "-n=4",
            "-c=2",
            "--m",
            "post",
            "-d",
            "a=b",
            "-T",
            "application/json",
            "-A",
            "text/plain",
        ],
        &[
            "-n", "2", "-c", "1", "-H", "X-A: 1", "-H", "X-B: 2", "-H", "X-A: 3",
        ],
        &[
            "-n",
            "2",
            "-c",
            "1",
            "-host",
            "example.org",
            "-disable-compression",
        ],
        &["-n", "4", "-c", "2", "-disable-keepalive", "-t", "5"],
        &["-n", "2", "-c", "1", "-m", "HEAD"],
        &["-n", "2", "-c", "1", "-m", "PUT", "-d", ""],
        &["-n", "2", "-c", "1", "-m", "DELETE", "-cpus", "1"],
    ] {
        let [(theirs, _, their_address), (ours, _, our_address)] = both(flags, |_| ok("hello"));
        assert_eq!(
            requests(&ours, &our_address),
            requests(&theirs, &their_address),
            "{flags:?}"
        );
    }
}

#[test]
fn both_follow_the_same_redirects() {
    let reply = |request: &Seen| match request.line.split(' ').nth(1) {
        Some("/") => response("302 Found", "Location: /there\r\n", ""),
        _ => ok("arrived"),
    };
    for flags in [
        &["-n", "3", "-c", "1"][..],
        &["-n", "3", "-c", "1", "-disable-redirects"],
    ] {
        let [(theirs, _, _), (ours, _, _)] = both(flags, reply);
        let lines = |seen: &[Seen]| seen.iter().map(|s| s.line.clone()).collect::<Vec<_>>();
        assert_eq!(lines(&ours), lines(&theirs), "{flags:?}");
    }
}

#[test]
fn the_report_has_the_same_lines() {
    let reply = |_: &Seen| {
        // Slow enough for figures above zero in both.
        std::thread::sleep(std::time::Duration::from_millis(2));
        response("503 Busy", "", "hello")
    };
    let [(_, theirs, _), (_, ours, _)] = both(&["-n", "200", "-c", "2"], reply);
    assert_eq!(shape(&ours.stdout), shape(&theirs.stdout));
    assert_eq!(ours.status.code(), theirs.status.code());
}

#[test]
fn csv_has_the_same_columns() {
    let [(_, theirs, _), (_, ours, _)] = both(&["-n", "6", "-c", "2", "-o", "csv"], |_| ok(""));
    let table = |output: &Output| {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        let columns: Vec<_> = lines.iter().map(|line| line.split(',').count()).collect();
        (lines[0].clone(), columns)
    };
    assert_eq!(table(&ours), table(&theirs));
}

#[test]
fn a_bad_command_line_fails_in_both() {
    for arguments in [
        &[][..],
        &["-n", "0", "http://127.0.0.1:1/"],
        &["-c", "x", "http://127.0.0.1:1/"],
    ] {
        let theirs = Command::new(real_hey()).args(arguments).output().unwrap();
        let ours = Command::new(env!("CARGO_BIN_EXE_loadtester"))
            .arg("hey")
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            !theirs.status.success() && !ours.status.success(),
            "{arguments:?}"
        );
    }
}

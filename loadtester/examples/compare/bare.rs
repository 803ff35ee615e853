//! The minimum that a program must do at a fixed rate: sleep, write, read. Its CPU time is the part of a tool's CPU time that is
//! due to the machine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Headers that hey sends besides `Host`; this program and wrk get the same.
pub(crate) const HEADERS: [&str; 3] = [
    "User-Agent: hey/0.0.1",
    "Content-Type: text/html",
    "Accept-Encoding: gzip",
];

/// First argument that selects the loop.
pub(crate) const MODE: &str = "bare-loop";

/// Runs `bare-loop RATE SECONDS URL` on two connections.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    match send(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{MODE}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn send(arguments: &[String]) -> anyhow::Result<()> {
    let [rate, seconds, url] = arguments else {
        anyhow::bail!("needs RATE SECONDS URL");
    };
    let (rate, seconds): (u32, u32) = (rate.parse()?, seconds.parse()?);
    let rest = url.strip_prefix("http://").context("needs http://")?;
    let (address, path) = rest.split_once('/').context("needs a path")?;
    let headers: String = HEADERS.map(|header| format!("{header}\r\n")).concat();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    let mut connections = [TcpStream::connect(address)?, TcpStream::connect(address)?];
    for connection in &connections {
        connection.set_nodelay(true)?;
    }
    let mut response = [0; 4096];
    let start = Instant::now();
    for beat in 0..rate * seconds {
        let due = start + Duration::from_secs(1) * beat / rate;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let connection = &mut connections[beat as usize % 2];
        connection.write_all(request.as_bytes())?;
        // The response fits in one segment.
        anyhow::ensure!(
            connection.read(&mut response)? > 0,
            "the server closed the connection"
        );
    }
    Ok(())
}

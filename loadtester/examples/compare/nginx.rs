//! nginx with one worker as the server: what most comparisons of load generators run against.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Where nginx tells how many requests it has had.
pub(crate) const STATUS: &str = "/status";

/// How long it may take until nginx answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running nginx, its address, and the folder with all that it writes.
pub(crate) fn start() -> anyhow::Result<(Child, SocketAddr, TempDir)> {
    let folder = tempfile::tempdir()?;
    // The port is free a moment from now too, as far as anyone can tell.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    fs::write(folder.path().join("nginx.conf"), configuration(address))?;
    let child = Command::new("nginx")
        .arg("-p")
        .arg(folder.path())
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start nginx; install it (Debian: apt install nginx-light)")?;
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if started.elapsed() > PATIENCE {
            let log = fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
            bail!("nginx does not listen on {address}: {log}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((child, address, folder))
}

/// One process, so that its CPU time is that of nginx; the answer is the app's.
fn configuration(address: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    format!(
        r#"daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    {temporary}
    server {{
        listen {address} backlog=4096;
        location / {{ default_type text/plain; return 200 "version: 1.0.0"; }}
        location {STATUS} {{ stub_status; }}
    }}
}}
"#
    )
}

/// The number of requests in what [`STATUS`] says: the third number of the third line.
pub(crate) fn requests(status: &str) -> Option<u64> {
    status
        .lines()
        .nth(2)?
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

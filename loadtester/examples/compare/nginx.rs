//! nginx with one worker as the server, as in most comparisons of load generators.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Path of nginx's own statistics.
pub(crate) const STATUS: &str = "/status";

/// Time limit for the start of nginx.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts nginx. Returns the process, its address and the folder with its files.
pub(crate) fn start() -> anyhow::Result<(Child, SocketAddr, TempDir)> {
    let folder = tempfile::tempdir()?;
    // The port may be taken before nginx binds it, but that is unlikely.
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

/// A configuration with one process, whose CPU time is then that of nginx, and with the response of the app.
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

/// The number of requests in the response of [`STATUS`]: the third number of the third line.
pub(crate) fn requests(status: &str) -> Option<u64> {
    status
        .lines()
        .nth(2)?
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

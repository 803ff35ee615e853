//! The server of the comparison: one thread with small responses that counts requests and records their times.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use tempfile::TempDir;

use crate::nginx;

/// First argument that selects the server.
pub(crate) const MODE: &str = "serve-target";

/// Serves until killed; prints its address first.
pub(crate) fn run() -> ExitCode {
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> std::io::Result<()> {
    let count = Arc::new(AtomicU64::new(0));
    let stamps = Arc::new(Mutex::new(Vec::<u64>::new()));
    let start = Instant::now();
    let lock = |stamps: &Mutex<Vec<u64>>| {
        std::mem::take(&mut *stamps.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let hello = {
        let count = Arc::clone(&count);
        move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            "version: 1.0.0"
        }
    };
    let stamped = {
        let stamps = Arc::clone(&stamps);
        move || async move {
            let now = start.elapsed().as_nanos() as u64;
            stamps
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(now);
            "version: 1.0.0"
        }
    };
    let routes = Router::new()
        .route("/", get(hello))
        .route("/stamped", get(stamped))
        .route(
            "/count",
            get(move || async move { count.swap(0, Ordering::Relaxed).to_string() }),
        )
        .route(
            "/stamps",
            get(move || async move {
                let stamps = lock(&stamps);
                stamps
                    .iter()
                    .map(|stamp| format!("{stamp}\n"))
                    .collect::<String>()
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, routes).await
}

/// The server of the part full-speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Server {
    /// The one in this program
    Own,
    /// nginx with one worker
    Nginx,
}

/// A running server.
pub(crate) struct Target {
    child: Child,
    address: SocketAddr,
    /// For nginx: its folder, and its count at the last call.
    nginx: Option<(TempDir, Cell<u64>)>,
}

impl Target {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(MODE)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let mut line = String::new();
        let out = child.stdout.take().context("the server has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().parse().context("the server did not start")?;
        Ok(Self {
            child,
            address,
            nginx: None,
        })
    }

    pub(crate) fn start_server(server: Server) -> anyhow::Result<Self> {
        if server == Server::Own {
            return Self::start();
        }
        let (child, address, folder) = nginx::start()?;
        Ok(Self {
            child,
            address,
            nginx: Some((folder, Cell::new(0))),
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Requests to `/` since the last call.
    pub(crate) fn take_count(&self) -> anyhow::Result<u64> {
        let Some((_, last)) = &self.nginx else {
            return Ok(self.get("/count")?.parse()?);
        };
        let status = self.get(nginx::STATUS)?;
        let count = nginx::requests(&status).context("nginx reports no number of requests")?;
        // The request for the count is counted too.
        Ok(count.saturating_sub(last.replace(count) + 1))
    }

    /// Times of the requests to `/stamped` since the last call, in nanoseconds.
    pub(crate) fn take_stamps(&self) -> anyhow::Result<Vec<u64>> {
        self.get("/stamps")?
            .lines()
            .map(|line| Ok(line.parse()?))
            .collect()
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (_, body) = response
            .split_once("\r\n\r\n")
            .context("the server's response is not HTTP")?;
        Ok(body.to_owned())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Fails if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

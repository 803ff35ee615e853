//! Settings and errors of monitoring.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use localcluster_shared::program::StartError;
use tokio::sync::watch;

/// Settings of [`run`](crate::run).
#[derive(Clone, Debug)]
pub struct Config {
    /// The Prometheus program: a path, or a name to look up on the `PATH`.
    pub prometheus: PathBuf,
    /// Folder for Prometheus' data, configuration and log. Created if missing. Samples survive a restart.
    pub state_dir: PathBuf,
    /// The localcluster binary. Prometheus is started through its `shim` subcommand, so that it dies with this
    /// process. `None` in tests.
    pub shim: Option<PathBuf>,
    /// Address that Prometheus listens on. Must be a loopback address.
    pub listen: SocketAddr,
    /// Address of Envoy's admin interface, whose statistics are scraped.
    pub envoy_admin: SocketAddr,
    /// Default scrape interval, in whole milliseconds.
    pub scrape_interval: Duration,
    /// Set to true while Prometheus serves queries, and to false when it dies.
    pub ready: Option<watch::Sender<bool>>,
}

impl Config {
    /// The usual scrape interval. It is short because a rate needs two samples, and the first check of a release on
    /// one machine comes within seconds.
    pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
}

/// Monitoring cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Prometheus cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Prometheus, which can be stopped by a request, would be reachable from other machines.
    #[error("{0}, the address of Prometheus, is not a loopback address; choose one of 127.0.0.0/8")]
    Exposed(SocketAddr),
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and free space", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

//! What monitoring needs to know, and why it may fail.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use localcluster_shared::program::StartError;
use tokio::sync::watch;

/// Settings of [`run`](crate::run).
#[derive(Clone, Debug)]
pub struct Config {
    /// The Prometheus program: a path, or a name to look up on the `PATH`.
    pub prometheus: PathBuf,
    /// Folder for Prometheus' data, configuration and log; made when missing. Samples survive in it.
    pub state_dir: PathBuf,
    /// The localcluster binary, through whose `shim` subcommand Prometheus is started so that it dies
    /// with this process; `None` in tests.
    pub shim: Option<PathBuf>,
    /// Address Prometheus listens on; must be a loopback address.
    pub listen: SocketAddr,
    /// Address of Envoy's admin interface, whose counters are scraped.
    pub envoy_admin: SocketAddr,
    /// Time between scrapes of whatever does not name its own, in whole milliseconds.
    pub scrape_interval: Duration,
    /// Set to true while Prometheus answers queries, and to false when it dies.
    pub ready: Option<watch::Sender<bool>>,
}

impl Config {
    /// The usual time between scrapes: short, because a rate needs two, and the first check of a
    /// release on one machine comes within seconds.
    pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
}

/// Why monitoring cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Prometheus cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Prometheus, which can be stopped by a request, would be reachable from elsewhere.
    #[error("{0}, the address of Prometheus, is not a loopback address; choose one of 127.0.0.0/8")]
    Exposed(SocketAddr),
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and free space", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

//! Settings and errors of the mesh.

use std::{io, net::SocketAddr, path::PathBuf};

use localcluster_shared::program::StartError;
use tokio::sync::watch;

/// Settings of [`run`](crate::run).
#[derive(Clone, Debug)]
pub struct Config {
    /// The Envoy program: a path, or a name to look up on the `PATH`.
    pub envoy: PathBuf,
    /// Folder for Envoy's files and log. Created if missing; old files are removed.
    pub state_dir: PathBuf,
    /// The localcluster binary. Envoy is started through its `shim` subcommand, so that Envoy dies with this
    /// process. `None` in tests.
    pub shim: Option<PathBuf>,
    /// Address of the forward proxy that pods use.
    pub proxy: SocketAddr,
    /// Address of Envoy's admin interface (statistics). Must be a loopback address.
    pub admin: SocketAddr,
    /// Address of the ingress, usually `127.0.0.1:8080`; `None` for no ingress.
    pub ingress: Option<SocketAddr>,
    /// Name and namespace of the Service that gets the ingress requests for unclaimed hosts.
    pub ingress_default: Option<(String, String)>,
    /// Set to true while Envoy is live with the current configuration, and to false when it dies.
    pub ready: Option<watch::Sender<bool>>,
}

/// The mesh cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Envoy cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin interface would be reachable from other machines.
    #[error(
        "{0}, the address of Envoy's admin interface, is not a loopback address; choose one of 127.0.0.0/8"
    )]
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

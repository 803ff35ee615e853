//! What the mesh needs to know, and why it may fail.

use std::{io, net::SocketAddr, path::PathBuf};

use localcluster_shared::program::StartError;
use tokio::sync::watch;

/// Settings of [`run`](crate::run).
#[derive(Clone, Debug)]
pub struct Config {
    /// The Envoy program: a path, or a name to look up on the `PATH`.
    pub envoy: PathBuf,
    /// Folder for Envoy's files and log; made when missing, emptied of old files.
    pub state_dir: PathBuf,
    /// The localcluster binary, through whose `shim` subcommand Envoy is started so that it dies with
    /// this process; `None` in tests.
    pub shim: Option<PathBuf>,
    /// Address of the forward proxy that pods use.
    pub proxy: SocketAddr,
    /// Address of Envoy's admin interface (statistics); must be a loopback address.
    pub admin: SocketAddr,
    /// Address of the ingress, usually `127.0.0.1:8080`; `None` for no ingress.
    pub ingress: Option<SocketAddr>,
    /// Name and namespace of the Service that answers at the ingress for hosts nobody else claims.
    pub ingress_default: Option<(String, String)>,
    /// Set to true while Envoy is live with the present configuration, and to false when it dies.
    pub ready: Option<watch::Sender<bool>>,
}

/// Why the mesh cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Envoy cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The admin interface would be reachable from elsewhere.
    #[error(
        "{0}, the address of Envoy's admin interface, is not a loopback address; choose one of 127.0.0.0/8"
    )]
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

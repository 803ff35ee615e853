//! Configuration of the kubelet.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

/// Configuration of a kubelet. Start from [`Config::new`] and override fields as needed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the Node that the kubelet registers.
    pub node_name: String,
    /// State directory of the cluster. It contains images, pods and logs.
    pub state_dir: PathBuf,
    /// The N in the cluster's address block, 127.N.0.0/16.
    pub block: u8,
    /// `HTTP_PROXY` of pods; `None` leaves it unset.
    pub proxy: Option<String>,
    /// API server that pods connect to; without it pods get no kubeconfig.
    pub api: Option<ApiAccess>,
    /// Path of the binary that contains the [shim](localcluster_shared::process::shim).
    pub shim: Option<PathBuf>,
    /// Whether to bind unbound pods to this node. Disable it if another scheduler runs.
    pub schedule: bool,
    /// Delay between a ready pod's deletion and `SIGTERM`. The pod is removed from its
    /// EndpointSlices immediately, but proxies pick that up with a lag, and their requests would
    /// fail if the process stopped listening in between. Capped at half the grace period.
    pub settle: Duration,
    /// Back-off before the second restart of a crashed container; doubles with every further restart.
    pub restart_delay: Duration,
    /// Maximum back-off. It resets once a container has run for twice as long.
    pub max_restart_delay: Duration,
    /// Size in bytes at which a container's log file is rotated.
    pub log_limit: u64,
    /// Grace period of containers when the kubelet itself shuts down.
    pub shutdown_grace: Duration,
}

/// Address and certificate authority of the API server.
#[derive(Debug, Clone)]
pub struct ApiAccess {
    /// URL, e.g. `https://127.9.0.1:6443`.
    pub server: String,
    /// Certificate authority in PEM; `None` uses the system's trust store.
    pub certificate_authority: Option<String>,
}

impl ApiAccess {
    /// Host and port of the URL.
    pub fn host_and_port(&self) -> Option<(String, String)> {
        let (_, address) = self.server.split_once("://")?;
        let (host, port) = address.trim_end_matches('/').rsplit_once(':')?;
        Some((host.to_owned(), port.to_owned()))
    }
}

impl Config {
    /// Creates the default configuration for a state directory and an address block.
    pub fn new(state_dir: impl Into<PathBuf>, block: u8) -> Self {
        Self {
            node_name: "localcluster".into(),
            state_dir: state_dir.into(),
            block,
            proxy: None,
            api: None,
            shim: None,
            schedule: true,
            settle: Duration::from_secs(1),
            restart_delay: Duration::from_secs(10),
            max_restart_delay: Duration::from_secs(300),
            log_limit: 10 * 1024 * 1024,
            shutdown_grace: Duration::from_secs(5),
        }
    }

    /// The node's own address, 127.N.0.1.
    pub fn host_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block, 0, 1)
    }

    /// Directory of the image store.
    pub fn images_dir(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Parent of the per-pod directories.
    pub fn pods_dir(&self) -> PathBuf {
        self.state_dir.join("pods")
    }

    /// Directory of container logs.
    pub fn logs_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }
}

//! What the kubelet is told at its start.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

/// Configuration of a kubelet. Start from [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the Node it registers.
    pub node_name: String,
    /// State directory of the cluster; images, pods and logs are below it.
    pub state_dir: PathBuf,
    /// N of the cluster's addresses 127.N.0.0/16.
    pub block: u8,
    /// What pods get as `HTTP_PROXY`; `None` for none.
    pub proxy: Option<String>,
    /// How pods reach the API server; `None` gives them no kubeconfig.
    pub api: Option<ApiAccess>,
    /// Path of the binary with the [shim](localcluster_shared::process::shim).
    pub shim: Option<PathBuf>,
    /// Also bind unbound pods to this node. Off where another scheduler runs.
    pub schedule: bool,
    /// Time between a ready pod's deletion and `SIGTERM`. The pod leaves its EndpointSlices at once,
    /// but proxies need a moment to read that; a process that stopped listening earlier would fail
    /// their requests. Never more than half of the grace period.
    pub settle: Duration,
    /// Wait before a crashed container's second restart; doubles with every further one.
    pub restart_delay: Duration,
    /// The longest such wait. A container that ran twice as long starts over.
    pub max_restart_delay: Duration,
    /// Bytes at which a container's log file is rotated.
    pub log_limit: u64,
    /// Time given to containers when the kubelet itself shuts down.
    pub shutdown_grace: Duration,
}

/// Where and how to trust the API server.
#[derive(Debug, Clone)]
pub struct ApiAccess {
    /// URL, e.g. `https://127.9.0.1:6443`.
    pub server: String,
    /// PEM of the certificate authority; `None` where the system's are enough.
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
    /// Defaults for a cluster with this state directory and address block.
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

    /// Folder of the image store.
    pub fn images_dir(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Folder with one folder per pod.
    pub fn pods_dir(&self) -> PathBuf {
        self.state_dir.join("pods")
    }

    /// Folder of containers' logs.
    pub fn logs_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }
}

//! Starts the parts of a cluster and stops them in order.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use kube::Client;
use localcluster_apiserver::{
    ApiServer, Config,
    kubeconfig::{self, Access},
    pki::Authority,
};
use localcluster_kubelet::ApiAccess;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{args::ProgramArgs, block::Block, state::StateDir};

/// Runs an asynchronous subcommand.
///
/// # Errors
/// Those of the subcommand.
pub fn in_runtime(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("LOCALCLUSTER_LOG").unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new("warn,localcluster=info,kube_runtime::watcher=error")
        });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()
        .context("cannot start the runtime")?
        .block_on(work)
}

/// Returns a future that resolves on Ctrl-C or SIGTERM. The handlers are installed by the call, not by the first poll.
///
/// # Errors
/// The handlers cannot be installed.
pub fn signals() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The running parts of one process.
#[derive(Debug)]
pub struct Parts {
    running: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
    api_server: JoinSet<anyhow::Result<()>>,
    api_server_shutdown: CancellationToken,
}

impl Parts {
    /// Creates an empty set of parts.
    pub fn new() -> Self {
        Self {
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
            api_server: JoinSet::new(),
            api_server_shutdown: CancellationToken::new(),
        }
    }

    /// Starts the API server and writes the administrator's kubeconfig. The returned client does not use the network.
    ///
    /// # Errors
    /// The database, the certificates or the kubeconfig cannot be read or written.
    pub async fn start_api_server(
        &mut self,
        state: &StateDir,
        block: Block,
        listener: TcpListener,
    ) -> anyhow::Result<(Client, ApiAccess)> {
        let config = Config {
            data_dir: Some(state.path("store")),
            log_dir: Some(state.path("logs")),
            ..Config::default()
        };
        let server = ApiServer::open(config).await?;
        let authority = Authority::open(&state.path("pki"))?;
        let address = listener.local_addr()?;
        let api = ApiAccess {
            server: format!("https://{address}"),
            certificate_authority: Some(authority.certificate_pem().to_owned()),
        };
        let access = Access {
            server: &api.server,
            authority_pem: authority.certificate_pem(),
            token: server.admin_token(),
            namespace: "default",
        };
        let path = state.path("kubeconfig");
        kubeconfig::write(&path, &access)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let tls = authority.server_config(&[block.api_server().ip()])?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (client, shutdown) = (server.client(), self.api_server_shutdown.clone());
        self.api_server.spawn(async move {
            server
                .serve(listener, tls, shutdown)
                .await
                .context("the API server failed")
        });
        Ok((client, api))
    }

    /// Starts the controllers.
    pub fn start_controllers(&mut self, client: Client) {
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            localcluster_controllers::run(client, shutdown)
                .await
                .context("the controllers failed")
        });
    }

    /// Starts the kubelet.
    ///
    /// # Errors
    /// The path of this program cannot be determined.
    pub fn start_kubelet(
        &mut self,
        client: Client,
        state: &StateDir,
        block: Block,
        api: ApiAccess,
    ) -> anyhow::Result<()> {
        let mut config = localcluster_kubelet::Config::new(state.root(), block.0);
        config.proxy = Some(format!("http://{}", block.proxy()));
        config.api = Some(api);
        config.shim = Some(own_path()?);
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            localcluster_kubelet::run(config, client, shutdown)
                .await
                .context("the kubelet failed")
        });
        Ok(())
    }

    /// Starts the mesh. The receiver becomes true once Envoy has its configuration.
    ///
    /// # Errors
    /// The path of this program cannot be determined.
    pub fn start_mesh(
        &mut self,
        client: Client,
        state: &StateDir,
        block: Block,
        programs: &ProgramArgs,
        ingress: Ingress,
    ) -> anyhow::Result<watch::Receiver<bool>> {
        let (ready, is_ready) = watch::channel(false);
        let config = localcluster_mesh::Config {
            envoy: programs.envoy.clone(),
            state_dir: state.path("envoy"),
            shim: Some(own_path()?),
            proxy: block.proxy(),
            admin: block.envoy_admin(),
            ingress: Some(ingress.address),
            ingress_default: ingress.default,
            ready: Some(ready),
        };
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            localcluster_mesh::run(config, client, shutdown)
                .await
                .context("the mesh failed")
        });
        Ok(is_ready)
    }

    /// Starts the monitoring. The receiver becomes true once Prometheus serves queries.
    ///
    /// # Errors
    /// The path of this program cannot be determined.
    pub fn start_monitoring(
        &mut self,
        client: Client,
        state: &StateDir,
        block: Block,
        programs: &ProgramArgs,
    ) -> anyhow::Result<watch::Receiver<bool>> {
        let (ready, is_ready) = watch::channel(false);
        let config = localcluster_monitoring::Config {
            prometheus: programs.prometheus.clone(),
            state_dir: state.path("prometheus"),
            shim: Some(own_path()?),
            listen: block.prometheus(),
            envoy_admin: block.envoy_admin(),
            scrape_interval: localcluster_monitoring::Config::SCRAPE_INTERVAL,
            ready: Some(ready),
        };
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            localcluster_monitoring::run(config, client, shutdown)
                .await
                .context("the monitoring failed")
        });
        Ok(is_ready)
    }

    /// Waits until a part ends without a shutdown.
    ///
    /// # Errors
    /// Always, except if there are no parts: the error of the part, or the fact that it ended.
    pub async fn first_to_end(&mut self) -> anyhow::Result<()> {
        let ended = tokio::select! {
            Some(ended) = self.running.join_next() => ended,
            Some(ended) = self.api_server.join_next() => ended,
            else => return Ok(()),
        };
        ended.context("a part panicked")??;
        anyhow::bail!("a part ended unexpectedly")
    }

    /// Runs until the signal arrives or a part fails, then stops all parts in order.
    ///
    /// # Errors
    /// The error of the part that failed.
    pub async fn until(mut self, signal: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
        let outcome = tokio::select! {
            ended = self.first_to_end() => ended,
            () = signal => Ok(()),
        };
        self.stop().await;
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// Stops all parts, the API server last, because the others still write to it.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        drain(&mut self.running).await;
        self.api_server_shutdown.cancel();
        drain(&mut self.api_server).await;
    }
}

/// Settings of the ingress.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Name and namespace of the Service for hosts without a route.
    pub default: Option<(String, String)>,
}

/// The path of this program, which is the shim that starts children so that they end with it.
fn own_path() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot determine the path of this program")
}

impl Default for Parts {
    fn default() -> Self {
        Self::new()
    }
}

async fn drain(parts: &mut JoinSet<anyhow::Result<()>>) {
    while let Some(ended) = parts.join_next().await {
        if let Err(error) = ended.map_err(Into::into).flatten() {
            tracing::error!("{error:#}");
        }
    }
}

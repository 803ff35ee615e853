//! The parts of a cluster: starting each of them, and ending them in order.

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

/// Run a subcommand that needs threads.
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
    // Fails only when somebody installed it before, and then it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()
        .context("cannot start the runtime")?
        .block_on(work)
}

/// Resolves on Ctrl-C or SIGTERM. Both are caught from the call on, not from the first poll.
///
/// # Errors
/// The system refuses to deliver signals.
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
    /// None yet.
    pub fn new() -> Self {
        Self {
            running: JoinSet::new(),
            shutdown: CancellationToken::new(),
            api_server: JoinSet::new(),
            api_server_shutdown: CancellationToken::new(),
        }
    }

    /// Start the API server and write the administrator's kubeconfig. The client does not use the
    /// network.
    ///
    /// # Errors
    /// The database, the certificates or the kubeconfig cannot be used.
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
                .context("the API server ended")
        });
        Ok((client, api))
    }

    /// Start the controllers.
    pub fn start_controllers(&mut self, client: Client) {
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            localcluster_controllers::run(client, shutdown)
                .await
                .context("the controllers ended")
        });
    }

    /// Start the kubelet.
    ///
    /// # Errors
    /// This program's own path cannot be found.
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
                .context("the kubelet ended")
        });
        Ok(())
    }

    /// Start the mesh; the receiver turns true when Envoy has its configuration.
    ///
    /// # Errors
    /// This program's own path cannot be found.
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
                .context("the mesh ended")
        });
        Ok(is_ready)
    }

    /// Start the monitoring; the receiver turns true when Prometheus answers queries.
    ///
    /// # Errors
    /// This program's own path cannot be found.
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
                .context("the monitoring ended")
        });
        Ok(is_ready)
    }

    /// Wait until a part ends before it was told to: with its error, or with one that says so.
    ///
    /// # Errors
    /// Always, except when there are no parts to wait for.
    pub async fn first_to_end(&mut self) -> anyhow::Result<()> {
        let ended = tokio::select! {
            Some(ended) = self.running.join_next() => ended,
            Some(ended) = self.api_server.join_next() => ended,
            else => return Ok(()),
        };
        ended.context("a part panicked")??;
        anyhow::bail!("a part ended without having been told to")
    }

    /// Run until the signal or until a part fails, and end in order.
    ///
    /// # Errors
    /// Why a part ended.
    pub async fn until(mut self, signal: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
        let outcome = tokio::select! {
            ended = self.first_to_end() => ended,
            () = signal => Ok(()),
        };
        self.stop().await;
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// End all parts, the API server last: the others still report to it.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        drain(&mut self.running).await;
        self.api_server_shutdown.cancel();
        drain(&mut self.api_server).await;
    }
}

/// The ingress as it is to be.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// Where it listens.
    pub address: SocketAddr,
    /// Name and namespace of the Service for hosts that no route names.
    pub default: Option<(String, String)>,
}

/// The path of this program, through which children are started so that they end with it.
fn own_path() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find the path of this program")
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

//! The parts of a cluster: starting each of them, here or alone beside any API server.

use std::{future::Future, io, net::TcpListener, process::ExitCode};

use anyhow::Context as _;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use localcluster_apiserver::{
    ApiServer, Config,
    kubeconfig::{self, Access},
    pki::Authority,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{ApiserverArgs, ClientArgs},
    block::Block,
    state::StateDir,
};

/// Run a subcommand that needs threads.
///
/// # Errors
/// Those of the subcommand.
pub fn in_runtime(
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOCALCLUSTER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,localcluster=info"));
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

/// `localcluster apiserver`: the API server alone, on the first free address block.
///
/// # Errors
/// The state directory is in use, or the server cannot start.
pub async fn apiserver(args: ApiserverArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let _lock = state.lock()?;
    let (block, listener) =
        Block::claim(state.remembered_block()).context("no address for the API server")?;
    state.remember_block(block.0)?;
    let mut parts = Parts::new();
    parts.start_api_server(&state, block, listener).await?;
    println!(
        "https://{} with {}",
        block.api_server(),
        state.path("kubeconfig").display()
    );
    parts.until(signals).await
}

/// `localcluster controllers`
///
/// # Errors
/// The kubeconfig cannot be used, or the controllers fail.
pub async fn controllers(args: ClientArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let mut parts = Parts::new();
    parts.start_controllers(client(&args).await?);
    parts.until(signals).await
}

async fn client(args: &ClientArgs) -> anyhow::Result<Client> {
    let path = &args.kubeconfig;
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("cannot use {}", path.display()))?;
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
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
    ) -> anyhow::Result<Client> {
        let config = Config {
            data_dir: Some(state.path("store")),
            log_dir: Some(state.path("logs")),
            ..Config::default()
        };
        let server = ApiServer::open(config).await?;
        let authority = Authority::open(&state.path("pki"))?;
        let address = listener.local_addr()?;
        let access = Access {
            server: &format!("https://{address}"),
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
        Ok(client)
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

//! The composition root: builds everything and runs it until the end.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use api_failure::ApiFailure;
use axum::Router;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    admin::{self, Admin},
    args::RunArgs,
    background::{Background, Lanes},
    clock::Clock,
    cluster::{Cluster, Tell, Touched},
    context::Context,
    controller,
    http::{Network, Transport},
    lease::{Elector, Fence, LeaseError, Times},
    metrics::Metrics,
    page::{self, Feed},
    routing,
    serve::serve,
    settings::Settings,
};

/// How long ticks and calls under way may take to finish when the process is asked to end.
const FINISH: Duration = Duration::from_secs(8);

/// What a controller is made of; tests put in their own parts.
pub struct Parts {
    /// Client of the cluster.
    pub client: Client,
    /// Namespace to watch; all when `None`.
    pub namespace: Option<String>,
    /// Settings for all canaries.
    pub settings: Settings,
    /// The time of day.
    pub clock: Clock,
    /// Outgoing calls.
    pub transport: Arc<dyn Transport>,
    /// Identity of this process, in events and in the Lease.
    pub instance: String,
    /// Namespace and times of the Lease; `None` runs without election.
    pub election: Option<(String, Times)>,
}

/// A controller that is built and about to run.
pub struct Controller {
    ctx: Arc<Context>,
    touched: mpsc::UnboundedReceiver<Touched>,
    lanes: Lanes,
    elector: Option<Elector>,
    watches: CancellationToken,
    feed: Feed,
}

impl Controller {
    /// Builds a controller and starts its watches.
    ///
    /// # Errors
    /// When its metrics cannot be registered; a defect.
    pub fn build(parts: Parts) -> Result<Self, prometheus::Error> {
        let (to_work, touched) = mpsc::unbounded_channel();
        let (to_page, seen) = mpsc::unbounded_channel();
        let watches = CancellationToken::new();
        // A receiver that is gone has no more use for it.
        let tell: Tell = Arc::new(move |touched: Touched| {
            drop(to_page.send(touched.clone()));
            drop(to_work.send(touched));
        });
        let cluster = Arc::new(Cluster::watch(
            parts.client.clone(),
            parts.namespace.as_deref(),
            &tell,
            &watches,
        ));
        let (elector, fence) = match &parts.election {
            Some((namespace, times)) => {
                let (elector, fence) = Elector::new(
                    parts.client,
                    namespace,
                    &parts.instance,
                    *times,
                    parts.clock.clone(),
                );
                (Some(elector), fence)
            }
            None => (None, Fence::open()),
        };
        let feed = Feed::new(Arc::clone(&cluster), fence.clone(), parts.namespace);
        tokio::spawn(feed.clone().follow(seen));
        let (background, lanes) = Background::start();
        let ctx = Arc::new(Context {
            cluster,
            metrics: Metrics::new(&parts.settings.mesh_provider)?,
            settings: parts.settings,
            clock: parts.clock,
            transport: parts.transport,
            background,
            fence,
            instance: parts.instance,
            failures: Default::default(),
            remarked: Default::default(),
            repairs: Default::default(),
            definition: Default::default(),
        });
        Ok(Self {
            ctx,
            touched,
            lanes,
            elector,
            watches,
            feed,
        })
    }

    /// Its endpoints, for machines and for people; streams end with `shutdown`.
    pub fn endpoints(&self, shutdown: CancellationToken) -> Router {
        let admin = Admin {
            metrics: self.ctx.metrics.clone(),
            cluster: Arc::clone(&self.ctx.cluster),
            fence: self.ctx.fence.clone(),
        };
        admin::router(admin).merge(page::router(self.feed.clone(), shutdown))
    }

    /// Runs until `shutdown`, finishes what is under way, and gives the Lease back.
    ///
    /// # Errors
    /// When the Lease is lost.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LeaseError> {
        let end_of_election = CancellationToken::new();
        let election = async {
            match self.elector {
                Some(elector) => elector.run(end_of_election.clone()).await,
                None => {
                    end_of_election.cancelled().await;
                    Ok(())
                }
            }
        };
        let mut fence = self.ctx.fence.clone();
        let (ctx, mut touched, lanes) = (self.ctx, self.touched, self.lanes);
        let work = async {
            // A process that stands by follows the cluster too; it looks at everything once it leads.
            let stand_by = async {
                while touched.recv().await.is_some() {}
                std::future::pending::<()>().await;
            };
            let leads = tokio::select! {
                () = fence.opened() => true,
                () = shutdown.cancelled() => false,
                () = stand_by => false,
            };
            if leads {
                let finish = async {
                    shutdown.cancelled().await;
                    tokio::time::sleep(FINISH).await;
                };
                tokio::select! {
                    () = controller::run(ctx, touched, shutdown.clone()) => {}
                    () = finish => {}
                }
            } else {
                drop((ctx, touched));
            }
            // Every context is gone now, so the lanes end when their jobs are done.
            lanes.drain(FINISH).await;
            end_of_election.cancel();
        };
        let watches = self.watches.drop_guard();
        let mut election = std::pin::pin!(election);
        let mut work = std::pin::pin!(work);
        let result = tokio::select! {
            result = &mut election => result,
            () = &mut work => election.await,
        };
        drop(watches);
        result
    }
}

/// Runs the controller as the command line says, until it is told to end.
///
/// # Errors
/// When it cannot start, or when the Lease is lost.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let settings = args.settings();
    if !routing::is_known(&settings.mesh_provider) {
        let known = routing::names().join(", ");
        bail!(
            "--mesh-provider: \"{}\" is unknown; use one of: {known}",
            settings.mesh_provider
        );
    }
    let client = client(args.kubeconfig.as_deref()).await?;
    let listener = TcpListener::bind((args.bind, args.port))
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}:{}; choose another --port or --bind",
                args.bind, args.port
            )
        })?;
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty());
    let instance = format!(
        "{}_{}",
        host.as_deref().unwrap_or("canary-controller"),
        uuid::Uuid::new_v4()
    );
    let election_namespace = args
        .watched_namespace()
        .unwrap_or(&args.leader_election_namespace)
        .to_owned();
    let controller = Controller::build(Parts {
        client,
        namespace: args.watched_namespace().map(str::to_owned),
        settings,
        clock: Clock::system(),
        transport: Arc::new(Network::default()),
        instance,
        election: args
            .enable_leader_election
            .then(|| (election_namespace, Times::default())),
    })?;
    let address = listener.local_addr()?;
    info!(version = env!("CARGO_PKG_VERSION"), %address, "canary-controller starts");

    let shutdown = CancellationToken::new();
    let endpoints = controller.endpoints(shutdown.clone());
    let mut served = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(listener, endpoints, shutdown).await {
                error!(%error, "endpoints ended");
            }
        })
    };
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            told_to_end().await;
            info!("ending");
            shutdown.cancel();
        }
    });
    controller.run(shutdown.clone()).await?;
    // Answers under way are short and streams have ended; whoever does not read must not hold this up.
    if tokio::time::timeout(Duration::from_secs(1), &mut served)
        .await
        .is_err()
    {
        served.abort();
    }
    Ok(())
}

/// A client of the cluster that the kubeconfig, the pod or kubectl's configuration names.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .map_err(ApiFailure::from)
                .with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(ApiFailure::from)
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?
        }
        None => Config::infer().await.map_err(ApiFailure::from).context(
            "no cluster is configured; give --kubeconfig, set KUBECONFIG, or run in a pod",
        )?,
    };
    // HTTP_PROXY is for webhooks and queries; the API server is called directly.
    config.proxy_url = None;
    // A watch ends by itself after less than five minutes; one that stays silent for longer hangs.
    config.read_timeout = Some(Duration::from_secs(300));
    Ok(Client::try_from(config).map_err(ApiFailure::from)?)
}

async fn told_to_end() {
    let interrupt = tokio::signal::ctrl_c();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}

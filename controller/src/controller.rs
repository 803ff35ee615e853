//! The composition root: builds all parts and runs them until shutdown.

use std::{sync::Arc, time::Duration};

use axum::Router;
use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{Cluster, Notify, Touched},
    process::{
        background::{Background, Lanes},
        clock::Clock,
        endpoints::{self, Admin},
        http::Transport,
        lease::{Elector, Fence, LeaseError, Times},
        metrics::Metrics,
        settings::Settings,
    },
    routing,
    tick::{context::Context, wake},
    views::page::{self, Feed},
};

/// How long ticks and calls in progress may take to finish at shutdown.
const GRACE: Duration = Duration::from_secs(8);

/// The parts of a controller, which tests replace.
pub struct Parts {
    /// Client of the cluster.
    pub client: Client,
    /// Namespace to watch; `None` for all namespaces.
    pub namespace: Option<String>,
    /// Settings for all canaries.
    pub settings: Settings,
    /// Source of the time of day.
    pub clock: Clock,
    /// Sends outgoing requests.
    pub transport: Arc<dyn Transport>,
    /// Identity of this process, in events and in the Lease.
    pub instance: String,
    /// Namespace and timing of the Lease; `None` disables leader election.
    pub election: Option<(String, Times)>,
}

/// A controller that is ready to run.
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
    /// If the metrics cannot be registered, which is a bug.
    pub fn build(parts: Parts) -> Result<Self, prometheus::Error> {
        let (to_work, touched) = mpsc::unbounded_channel();
        let (to_page, seen) = mpsc::unbounded_channel();
        let watches = CancellationToken::new();
        // An error means that the receiver was dropped at shutdown.
        let notify: Notify = Arc::new(move |touched: Touched| {
            drop(to_page.send(touched.clone()));
            drop(to_work.send(touched));
        });
        let cluster = Arc::new(Cluster::watch(
            parts.client.clone(),
            &routing::watched_kinds(),
            parts.namespace.as_deref(),
            &notify,
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
            index: Default::default(),
            metrics: Metrics::new(&parts.settings.mesh_provider)?,
            settings: parts.settings,
            clock: parts.clock,
            transport: parts.transport,
            background,
            fence,
            instance: parts.instance,
            failures: Default::default(),
            remarked: Default::default(),
            events: Default::default(),
            effects: Default::default(),
            hooks: Default::default(),
            repairs: Default::default(),
            lags: Default::default(),
            definition: Default::default(),
            unownable: Default::default(),
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

    /// Returns the routes of the metrics, health and rollout endpoints. Streams end at `shutdown`.
    pub fn endpoints(&self, shutdown: CancellationToken) -> Router {
        let admin = Admin {
            metrics: self.ctx.metrics.clone(),
            cluster: Arc::clone(&self.ctx.cluster),
            fence: self.ctx.fence.clone(),
        };
        endpoints::router(admin).merge(page::router(self.feed.clone(), shutdown))
    }

    /// Runs until `shutdown`, then finishes the work in progress and releases the Lease.
    ///
    /// # Errors
    /// If the Lease is lost.
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
            // A standby discards the changes that it sees: it reconciles every canary once it leads.
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
                    tokio::time::sleep(GRACE).await;
                };
                tokio::select! {
                    () = wake::run(ctx, touched, shutdown.clone()) => {}
                    () = finish => {}
                }
            } else {
                drop((ctx, touched));
            }
            // Every context is dropped by now, so the lanes end when their jobs are done.
            lanes.drain(GRACE).await;
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

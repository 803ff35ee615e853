//! The loop: watch, render, deliver, report.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use kube::Client;
use localcluster_shared::{
    events::Reporter,
    problem::{ObjectId, Problem},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Error},
    deliver::{Delivery, Verdict},
    envoy::{self, Envoy},
    model::{Memory, RouteObject, ServiceName},
    render::{Rendered, Settings, render},
    status_writer::StatusWriter,
    watch::Stores,
};

/// Changes that arrive within this time are rendered together.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// Delay before the next check when Envoy has not confirmed its files.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Runs Envoy with a configuration made from the objects behind `client`, until `shutdown`.
///
/// Apply the CustomResourceDefinitions of [`crds`](crate::crds()) first. Envoy does not start without them, because
/// existing routes would be missing from its configuration.
///
/// # Errors
/// Envoy is not found, one of its addresses is in use, or a file cannot be written. If Envoy dies later, it is
/// restarted.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let program = envoy::preflight(&config).await?;
    let write_error = |source| Error::Write {
        path: config.state_dir.clone(),
        source,
    };
    fs::create_dir_all(&config.state_dir).map_err(write_error)?;
    // Envoy's working directory is its state folder, so its paths must be absolute.
    let state_dir = config.state_dir.canonicalize().map_err(write_error)?;
    let settings = Settings {
        folder: state_dir.join("xds"),
        proxy: config.proxy,
        admin: config.admin,
        ingress: config.ingress,
        ingress_default: config
            .ingress_default
            .clone()
            .map(|(name, namespace)| ServiceName { namespace, name }),
    };
    let changed = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    let stores = Stores::watch(&client, &changed, &mut tasks);
    tokio::select! {
        () = stores.complete() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    let mut mesh = Mesh {
        delivery: Delivery::open(settings.folder.clone(), config.admin)?,
        stores,
        memory: Memory::default(),
        reporter: Reporter::new(client.clone(), "localcluster-mesh"),
        status_writer: StatusWriter::new(client),
        log: state_dir.join(envoy::LOG),
        rejections: 0,
        settings,
    };
    mesh.update(false).await?;
    let stop_envoy = shutdown.child_token();
    let envoy = Envoy::start(
        &program,
        &config,
        &mesh.settings,
        &state_dir,
        stop_envoy.clone(),
    )?;
    let served = mesh
        .serve(
            envoy.live.clone(),
            config.ready.as_ref(),
            &changed,
            &shutdown,
        )
        .await;
    stop_envoy.cancel();
    envoy.stopped().await;
    if let Some(ready) = &config.ready {
        ready.send_replace(false);
    }
    served
}

struct Mesh {
    stores: Stores,
    delivery: Delivery,
    settings: Settings,
    memory: Memory,
    reporter: Reporter,
    status_writer: StatusWriter,
    log: PathBuf,
    /// Rejections in the log that were read so far.
    rejections: usize,
}

impl Mesh {
    async fn serve(
        &mut self,
        mut live: watch::Receiver<bool>,
        ready: Option<&watch::Sender<bool>>,
        changed: &Notify,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let mut again = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = changed.notified() => sleep(DEBOUNCE).await,
                () = until(again) => {}
                Ok(()) = live.changed() => {
                    let is_live = *live.borrow_and_update();
                    if is_live && self.delivery.verify().await == Verdict::RoutesRejected {
                        let rendered = self.render().0;
                        self.hold_back(&rendered).await?;
                    }
                    if let Some(ready) = ready {
                        ready.send_replace(is_live);
                    }
                }
            }
            let is_live = *live.borrow();
            again = self.update(is_live).await?;
        }
    }

    /// Brings Envoy up to date. Returns the time of the next call if one is needed without a change.
    async fn update(&mut self, live: bool) -> Result<Option<Instant>, Error> {
        let (mut rendered, mut problems) = self.render();
        let started = Instant::now();
        let verdict = self.delivery.deliver(&rendered.resources, live).await?;
        let mut in_force = verdict;
        match verdict {
            Verdict::Accepted | Verdict::Unknown => {}
            Verdict::ClustersRejected => {
                let message = self.rejection_message().await;
                tracing::error!("Envoy rejected new clusters and keeps the old ones: {message}");
            }
            Verdict::RoutesRejected => {
                in_force = self.hold_back(&rendered).await?;
                (rendered, problems) = self.render();
            }
        }
        tracing::debug!(took = ?started.elapsed(), "delivered");
        let later = self.reporter.report(&problems);
        match in_force {
            Verdict::Accepted if live => {
                // Not earlier: a client that waits for its route to be accepted may send requests at once.
                let objects = self.stores.with_status();
                self.status_writer.write(objects, &rendered.statuses);
                self.memory.last_good = rendered.used;
                Ok(later)
            }
            Verdict::Unknown if live => {
                let soon = Instant::now() + RETRY_INTERVAL;
                Ok(Some(later.map_or(soon, |later| later.min(soon))))
            }
            _ => Ok(later),
        }
    }

    fn render(&mut self) -> (Rendered, BTreeSet<Problem>) {
        let (snapshot, mut problems) = self.stores.snapshot(self.memory.clone());
        let present: BTreeSet<ObjectId> = snapshot
            .virtual_services
            .iter()
            .map(|object| ObjectId::of(&**object))
            .chain(
                snapshot
                    .http_routes
                    .iter()
                    .map(|object| ObjectId::of(&**object)),
            )
            .collect();
        self.memory.rejected.retain(|id, _| present.contains(id));
        let rendered = render(&snapshot, &self.settings);
        problems.extend(rendered.problems.iter().cloned());
        (rendered, problems)
    }

    /// Handles rejected routes: withdraws all changes since Envoy last accepted the routes, then adds the changes
    /// back one at a time, so that only those that Envoy rejects stay out.
    ///
    /// Returns Envoy's verdict on the remaining routes.
    async fn hold_back(&mut self, rendered: &Rendered) -> Result<Verdict, Error> {
        let message = self.rejection_message().await;
        // Compare generations: a change of the status does not change Envoy's configuration.
        let good = |object: &ObjectId| self.memory.last_good.get(&object.uid).map(RouteObject::id);
        let used = rendered.used.values().map(RouteObject::id);
        let suspects: Vec<ObjectId> = used
            .filter(|object| good(object).as_ref() != Some(object))
            .collect();
        if suspects.is_empty() {
            tracing::error!("Envoy rejected new routes and keeps the old ones: {message}");
            return Ok(Verdict::RoutesRejected);
        }
        for suspect in &suspects {
            self.memory
                .rejected
                .insert(suspect.clone(), message.clone());
        }
        let mut verdict = self.try_routes().await?;
        if suspects.len() > 1 {
            for suspect in suspects {
                self.memory.rejected.remove(&suspect);
                if self.try_routes().await? == Verdict::RoutesRejected {
                    let message = self.rejection_message().await;
                    self.memory.rejected.insert(suspect, message);
                }
            }
            verdict = self.try_routes().await?;
        }
        Ok(verdict)
    }

    async fn try_routes(&mut self) -> Result<Verdict, Error> {
        let rendered = self.render().0;
        let verdict = self.delivery.deliver(&rendered.resources, true).await?;
        if verdict == Verdict::Accepted {
            self.memory.last_good = rendered.used;
        }
        Ok(verdict)
    }

    /// Envoy's message about the file it just rejected. Another task writes the log, so the message may appear
    /// shortly after the counter.
    async fn rejection_message(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let rejections = rejections(&text);
            if rejections.len() != self.rejections || Instant::now() >= deadline {
                self.rejections = rejections.len();
                let last = rejections.last().cloned();
                return last.unwrap_or_else(|| format!("see {}", self.log.display()));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The messages of all rejections in Envoy's log.
fn rejections(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .filter_map(|line| line.split_once("update rejected: "));
    lines
        .map(|(_, message)| message.chars().take(300).collect())
        .collect()
}

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
    answer::Answers,
    config::{Config, Error},
    deliver::{Delivery, Verdict},
    envoy::{self, Envoy},
    model::{Memory, RouteObject, ServiceName},
    render::{Rendered, Settings, render},
    watch::Stores,
};

/// Changes that arrive within this time are rendered together.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// Time after which Envoy is asked again when it has not said what it makes of its files.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Run Envoy on what the API server behind `client` says, until `shutdown`.
///
/// The CustomResourceDefinitions of [`crds`](crate::crds()) should be applied before; until they are,
/// Envoy is not started, because routes that exist could not be seen.
///
/// # Errors
/// Envoy is not there, one of its addresses is taken, or a file cannot be written. When Envoy dies later,
/// it is started again.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let program = envoy::preflight(&config).await?;
    let write_error = |source| Error::Write {
        path: config.state_dir.clone(),
        source,
    };
    fs::create_dir_all(&config.state_dir).map_err(write_error)?;
    // Envoy runs in its own folder, so its paths must be absolute.
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
        answers: Answers::new(client),
        log: state_dir.join(envoy::LOG),
        refusals: 0,
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
    answers: Answers,
    log: PathBuf,
    /// Refusals in the log that were read.
    refusals: usize,
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

    /// Bring Envoy up to date. Returns when to call again although nothing changed.
    async fn update(&mut self, live: bool) -> Result<Option<Instant>, Error> {
        let (mut rendered, mut problems) = self.render();
        let started = Instant::now();
        let verdict = self.delivery.deliver(&rendered.resources, live).await?;
        let mut in_force = verdict;
        match verdict {
            Verdict::Accepted | Verdict::Unknown => {}
            Verdict::ClustersRejected => {
                let words = self.words().await;
                tracing::error!("Envoy refused clusters and keeps those before: {words}");
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
                // Only now: who waits for a route to be accepted may send requests at once.
                let objects = self.stores.answered();
                self.answers.answer(objects, &rendered.statuses);
                self.memory.last_good = rendered.used;
                Ok(later)
            }
            Verdict::Unknown if live => {
                let soon = Instant::now() + LOOK_AGAIN;
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

    /// Envoy refused the routes: hold back what changed since it last accepted them, then let each
    /// change in again by itself, so that only the one it cannot take stays out.
    ///
    /// Returns what Envoy made of what is left.
    async fn hold_back(&mut self, rendered: &Rendered) -> Result<Verdict, Error> {
        let words = self.words().await;
        // By generation: a status changes nothing that Envoy is told.
        let good = |object: &ObjectId| self.memory.last_good.get(&object.uid).map(RouteObject::id);
        let used = rendered.used.values().map(RouteObject::id);
        let suspects: Vec<ObjectId> = used
            .filter(|object| good(object).as_ref() != Some(object))
            .collect();
        if suspects.is_empty() {
            tracing::error!("Envoy refused routes and keeps those before: {words}");
            return Ok(Verdict::RoutesRejected);
        }
        for suspect in &suspects {
            self.memory.rejected.insert(suspect.clone(), words.clone());
        }
        let mut verdict = self.try_routes().await?;
        if suspects.len() > 1 {
            for suspect in suspects {
                self.memory.rejected.remove(&suspect);
                if self.try_routes().await? == Verdict::RoutesRejected {
                    let words = self.words().await;
                    self.memory.rejected.insert(suspect, words);
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

    /// What Envoy said about the file it just refused. The log is written by another task, so it may
    /// come a moment later than the counter.
    async fn words(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let refusals = refusals(&text);
            if refusals.len() != self.refusals || Instant::now() >= deadline {
                self.refusals = refusals.len();
                let last = refusals.last().cloned();
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

/// The refusals in Envoy's log, without what stands before the message.
fn refusals(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .filter_map(|line| line.split_once("update rejected: "));
    lines
        .map(|(_, message)| message.chars().take(300).collect())
        .collect()
}

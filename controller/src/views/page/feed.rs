//! Keeps the page's data up to date from the watches. It sends no requests to the API server.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    history::History,
    listing::{Entry, Listing, Source},
    render,
    report::{Report, Watcher},
};
use crate::{
    cluster::{Cluster, Kind, Object, Touched},
    process::lease::Fence,
    views::model::View,
};

/// Maximum number of concurrent live views. Each costs a connection, and a few kilobytes per change.
pub const CLIENTS: usize = 64;

/// Minimum time between two updates. Changes in between are published together.
const PAUSE: Duration = Duration::from_millis(250);

/// How often the state of the watches themselves is checked. No watch reports that one.
const HEALTH_CHECK: Duration = Duration::from_secs(5);

/// The page's data, published to subscribers.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    cluster: Arc<Cluster>,
    fence: Fence,
    namespace: Option<String>,
    history: Mutex<History>,
    latest: watch::Sender<Arc<Listing>>,
    places: Arc<Semaphore>,
}

/// A live view; dropping it frees its place.
pub(super) struct Subscription {
    pub(super) latest: watch::Receiver<Arc<Listing>>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// Creates a feed of the canaries in `cluster`, which watches `namespace`, or all namespaces if `None`.
    pub(crate) fn new(cluster: Arc<Cluster>, fence: Fence, namespace: Option<String>) -> Self {
        let empty = Listing {
            watcher: watcher(&cluster, &fence, namespace.as_ref()),
            canaries: Vec::new(),
            sources: Vec::new(),
        };
        Self(Arc::new(Inner {
            cluster,
            fence,
            namespace,
            history: Mutex::default(),
            latest: watch::Sender::new(Arc::new(empty)),
            places: Arc::new(Semaphore::new(CLIENTS)),
        }))
    }

    /// Follows the watches until they end.
    pub(crate) async fn follow(self, mut seen: mpsc::UnboundedReceiver<Touched>) {
        let mut fence = self.0.fence.clone();
        let mut lead = std::pin::pin!(fence.opened());
        let mut leads = false;
        let mut health_check = tokio::time::interval(HEALTH_CHECK);
        let mut update: Option<Instant> = None;
        let mut earliest = Instant::now();
        loop {
            let due = async {
                match update {
                    Some(time) => sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            let is_news = tokio::select! {
                touched = seen.recv() => match touched {
                    Some(touched) => self.note(&touched),
                    None => return,
                },
                () = &mut lead, if !leads => {
                    leads = true;
                    true
                }
                _ = health_check.tick() => true,
                () = due => {
                    update = None;
                    earliest = Instant::now() + PAUSE;
                    // Without subscribers there is nothing to do: a new subscriber refreshes the listing itself.
                    if self.0.latest.receiver_count() > 0 {
                        self.refresh();
                    }
                    false
                }
            };
            if is_news {
                update.get_or_insert(earliest);
            }
        }
    }

    /// Returns the current listing.
    pub(super) fn now(&self) -> Arc<Listing> {
        self.refresh();
        Arc::clone(&self.0.latest.borrow())
    }

    /// Opens a live view; `None` if there are [`CLIENTS`] already.
    pub(super) fn subscribe(&self) -> Option<Subscription> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let latest = self.0.latest.subscribe();
        self.refresh();
        Some(Subscription {
            latest,
            _place: place,
        })
    }

    /// Records what a watch saw. Returns whether the page shows it.
    fn note(&self, seen: &Touched) -> bool {
        let cluster = &self.0.cluster;
        let mut history = self
            .0
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match seen {
            Touched::One(key) if key.kind == Kind::CANARY => {
                match cluster.get(Kind::CANARY, &key.namespace, &key.name) {
                    Some(canary) => history.note(&canary),
                    None => history.forget(&key.namespace, &key.name),
                }
                true
            }
            Touched::All(Kind::CANARY) => {
                let all = cluster.list(Kind::CANARY);
                history.keep_only(all.iter().map(AsRef::as_ref));
                all.iter().for_each(|canary| history.note(canary));
                true
            }
            Touched::One(key) => key.kind == Kind::DEPLOYMENT,
            // A relist may have cleared a problem.
            Touched::All(_) => true,
        }
    }

    /// Builds a new listing, and notifies subscribers if it differs.
    fn refresh(&self) {
        self.0.latest.send_if_modified(|latest| {
            let next = self.listing(latest);
            let differs = !next.is_same_as(latest);
            *latest = Arc::new(next);
            differs
        });
    }

    fn listing(&self, before: &Listing) -> Listing {
        let Inner { cluster, .. } = &*self.0;
        let history = self.0.history.lock();
        let history = history.unwrap_or_else(PoisonError::into_inner);
        let mut canaries = cluster.list(Kind::CANARY);
        canaries.sort_by_cached_key(|canary| (canary.namespace(), canary.name_any()));
        let entries = canaries
            .iter()
            .map(|canary| self.entry(canary, &history, before));
        let (canaries, sources) = entries.unzip();
        Listing {
            watcher: watcher(cluster, &self.0.fence, self.0.namespace.as_ref()),
            canaries,
            sources,
        }
    }

    /// Returns the entry of a canary: the previous one if nothing in it changed.
    fn entry(&self, canary: &Object, history: &History, before: &Listing) -> (Arc<Entry>, Source) {
        let (namespace, name) = (canary.namespace().unwrap_or_default(), canary.name_any());
        let (target, primary) = View::workloads(canary);
        let deployment = |name: &str| self.0.cluster.get(Kind::DEPLOYMENT, &namespace, name);
        let (target, primary) = (deployment(&target), deployment(&primary));
        let version = |object: Option<&Object>| object?.resource_version();
        let objects = [Some(canary), target.as_deref(), primary.as_deref()];
        let source = (objects.map(version), history.length(canary));
        let known = before.index(&namespace, &name);
        let known = known.map(|index| (&before.canaries[index], &before.sources[index]));
        if let Some((entry, _)) = known.filter(|(_, made_from)| **made_from == source) {
            return (Arc::clone(entry), source);
        }
        let view = View::of(canary, target.as_deref(), primary.as_deref());
        let report = Report::new(view, history.of(canary));
        let entry = match known {
            Some((entry, _)) if entry.report == report => Arc::clone(entry),
            _ => {
                let card = render::card(&report).into();
                Arc::new(Entry { report, card })
            }
        };
        (entry, source)
    }
}

fn watcher(cluster: &Cluster, fence: &Fence, namespace: Option<&String>) -> Watcher {
    let problems = cluster.unready().into_iter();
    Watcher {
        version: env!("CARGO_PKG_VERSION"),
        leads: fence.check().is_ok(),
        namespace: namespace.cloned(),
        problems: problems
            .map(|(kind, why)| (kind.qualified(), why))
            .collect(),
    }
}

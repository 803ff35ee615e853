//! One watch and one store for each kind.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use api_failure::ApiFailure;
use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        utils::Backoff,
        watcher::{self, Event},
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Key, Kind, Object, digest,
    served::{Doubt, describe},
};

/// Annotation of the local copy of a ConfigMap or Secret with the checksum of its data. The data itself is dropped.
pub const CHECKSUM_ANNOTATION: &str = "canary-controller.local/checksum";

/// A change seen by a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// One object was created, changed or deleted.
    One(Key),
    /// The kind was listed again: any object may have been created, changed or deleted.
    All(Kind),
}

/// Called for each change, after the local copy has been updated.
pub type Notify = Arc<dyn Fn(Touched) + Send + Sync>;

/// The state of every watch.
#[derive(Debug)]
pub(super) struct Health(Mutex<BTreeMap<Kind, State>>);

/// State of one watch.
#[derive(Debug)]
enum State {
    /// The first list or a repeated one is incomplete.
    Listing(String),
    /// The watch could not be resumed and is retried. A successful retry emits no event, so the watch counts as resumed
    /// once there was no further failure for longer than the retry interval.
    Interrupted {
        why: String,
        failures: u32,
        at: Instant,
    },
    /// The copy is current.
    Following,
    /// The cluster lacks the kind, or this process may not list it. Only canaries that need it are affected.
    Unavailable(String),
}

impl Health {
    pub(super) fn of(kinds: &[Kind]) -> Self {
        let waiting = |kind: &Kind| (*kind, State::Listing("not listed yet".to_owned()));
        Self(Mutex::new(kinds.iter().map(waiting).collect()))
    }

    pub(super) fn unready(&self) -> Vec<(Kind, String)> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unready = |(kind, state): (&Kind, &State)| match state {
            State::Following | State::Unavailable(_) => None,
            State::Listing(why) => Some((*kind, why.clone())),
            State::Interrupted { why, failures, at } => {
                let quiet = longest_wait(*failures) + Duration::from_secs(1);
                (at.elapsed() < quiet).then(|| (*kind, why.clone()))
            }
        };
        states.iter().filter_map(unready).collect()
    }

    pub(super) fn unavailable(&self, kind: Kind) -> Option<String> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get(&kind) {
            Some(State::Unavailable(why)) => Some(why.clone()),
            _ => None,
        }
    }

    fn set(&self, kind: Kind, state: State) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(kind, state);
    }

    fn is_listing(&self, kind: Kind, reason: &str) -> bool {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(states.get(&kind), Some(State::Listing(why)) if why == reason)
    }

    fn interrupt(&self, kind: Kind, why: String) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = match states.get(&kind) {
            Some(State::Interrupted { failures, .. }) => failures.saturating_add(1),
            _ => 1,
        };
        states.insert(
            kind,
            State::Interrupted {
                why,
                failures,
                at: Instant::now(),
            },
        );
    }
}

/// Starts the watch of one kind and returns its store.
pub(super) fn spawn(
    kind: Kind,
    api: Api<Object>,
    health: &Arc<Health>,
    notify: Notify,
    shutdown: CancellationToken,
) -> Store<Object> {
    let writer = reflector::store::Writer::<Object>::new(kind.resource());
    let store = writer.as_reader();
    let health = Arc::clone(health);
    let failures = Arc::new(AtomicU32::new(0));
    let reconnect = Reconnect {
        kind,
        health: Arc::clone(&health),
        failures: Arc::clone(&failures),
    };
    let client = api.clone().into_client();
    let events = watcher::watcher(api, watcher::Config::default())
        .backoff(reconnect)
        .modify(move |object| trim(kind, object))
        .reflect(writer);
    tokio::spawn(async move {
        let mut events = std::pin::pin!(events.take_until(shutdown.cancelled()));
        let mut doubt = Doubt::default();
        while let Some(event) = events.next().await {
            let seen = match event {
                Ok(Event::Init | Event::InitApply(_)) => continue,
                Ok(Event::InitDone) => Touched::All(kind),
                Ok(Event::Apply(object) | Event::Delete(object)) => {
                    Touched::One(key_of(kind, &object))
                }
                Err(error) => {
                    let is_end = matches!(
                        error,
                        watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_)
                    );
                    let is_resumption = matches!(error, watcher::Error::WatchStartFailed(_));
                    let failure = ApiFailure::from(error);
                    let why = describe(kind, &failure);
                    if is_end {
                        // The watch resumes by itself, or starts over with a list, which emits an event.
                        debug!(kind = %kind.qualified(), why, "watch ended");
                    } else if is_resumption {
                        warn!(kind = %kind.qualified(), why, "cannot resume watch");
                        health.interrupt(kind, why);
                    } else if kind.is_optional()
                        && let Some(why) = doubt.resolve(kind, &failure, &client).await
                    {
                        if health.unavailable(kind).as_ref() == Some(&why) {
                            continue;
                        }
                        info!(kind = %kind.qualified(), why, "cannot list");
                        health.set(kind, State::Unavailable(why));
                        // Canaries that need the kind report it.
                        notify(Touched::All(kind));
                    } else if health.is_listing(kind, &why) {
                        // Logged as a warning before.
                        debug!(kind = %kind.qualified(), why, "cannot list");
                    } else {
                        warn!(kind = %kind.qualified(), why, "cannot list");
                        health.set(kind, State::Listing(why));
                    }
                    continue;
                }
            };
            failures.store(0, Ordering::Relaxed);
            doubt.followed();
            health.set(kind, State::Following);
            notify(seen);
        }
    });
    store
}

fn key_of(kind: Kind, object: &Object) -> Key {
    Key {
        kind,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// Drops fields that no decision needs. The data of ConfigMaps and Secrets is replaced by its checksum, so that the
/// process does not keep secrets in memory.
fn trim(kind: Kind, object: &mut Object) {
    object.meta_mut().managed_fields = None;
    if matches!(kind, Kind::CONFIG_MAP | Kind::SECRET) {
        let checksum = digest::config_checksum(&object.data);
        object
            .annotations_mut()
            .insert(CHECKSUM_ANNOTATION.to_owned(), checksum);
        if let Some(fields) = object.data.as_object_mut() {
            fields.retain(|field, _| field == "type");
        }
    }
}

/// Exponential backoff with jitter, up to ten seconds, or up to a minute for a kind that is unavailable.
#[derive(Debug)]
struct Reconnect {
    kind: Kind,
    health: Arc<Health>,
    failures: Arc<AtomicU32>,
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        let longest = match self.health.unavailable(self.kind) {
            Some(_) => wait(failures.saturating_add(1), Duration::from_secs(60)),
            None => longest_wait(failures.saturating_add(1)),
        };
        Some(longest.mul_f64(0.6 + fastrand::f64() * 0.4))
    }
}

impl Backoff for Reconnect {
    /// Does nothing: it is also called at the start of each list, before the outcome is known. Consecutive failures are
    /// counted from the last object or complete list instead.
    fn reset(&mut self) {}
}

/// The longest wait after a number of consecutive failures.
fn longest_wait(failures: u32) -> Duration {
    wait(failures, Duration::from_secs(10))
}

fn wait(failures: u32, longest: Duration) -> Duration {
    Duration::from_millis(200)
        .saturating_mul(1 << failures.min(9))
        .min(longest)
}

//! Local copies of objects that wake up a loop when they change.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use api_failure::ApiFailure;
use futures::StreamExt;
use kube::{
    Api, Resource,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        reflector::{Store, store::Writer},
        utils::Backoff,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, task::JoinSet};

use crate::problem::{ObjectId, Problem, Report};

/// Waits between tries to list or watch: short, because the API server is on this machine and a
/// kind may be defined a moment after this part has started.
#[derive(Debug)]
struct Patience(Duration);

impl Patience {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(2);
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(Self::LONGEST);
        Some(now)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

/// Keep a copy of everything `api` lists; `changed` is notified after each change. The copy is
/// complete once [`Store::wait_until_ready`] returns. Errors are logged and tried again for ever;
/// the task ends with `tasks`.
pub fn reflect<K>(
    api: Api<K>,
    kind: K::DynamicType,
    changed: Arc<Notify>,
    tasks: &mut JoinSet<()>,
) -> Store<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash + Send + Sync + Unpin,
{
    let name = K::plural(&kind).into_owned();
    let writer = Writer::new(kind);
    let store = writer.as_reader();
    tasks.spawn(async move {
        let events = watcher(api, watcher::Config::default())
            .reflect(writer)
            .backoff(Patience(Patience::FIRST));
        let mut events = std::pin::pin!(events);
        let mut last = String::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => {
                    last.clear();
                    changed.notify_one();
                }
                Err(error) => {
                    let failure = ApiFailure::from(error).to_string();
                    if failure != last {
                        tracing::warn!(kind = name, failure, "cannot watch; trying again");
                        last = failure;
                    }
                }
            }
        }
    });
    store
}

/// Read each object as its type; one that does not fit is reported and left out. (A store of the type
/// itself could not list any object while there is one that does not fit.)
pub fn parse<K>(store: &Store<DynamicObject>, problems: &mut BTreeSet<Problem>) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let objects = store.state();
    let parsed = objects.iter().filter_map(|object| {
        let value = serde_json::to_value(&**object);
        match value.and_then(serde_json::from_value::<K>) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                let id = ObjectId::of_dynamic(object, &K::api_version(&()), &K::kind(&()));
                let mut report = Report::new(id);
                report.invalid("spec", format!("the object is left out: {error}"));
                problems.extend(report.into_problems());
                None
            }
        }
    });
    parsed.collect()
}

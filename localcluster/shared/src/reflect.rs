//! Local copies of objects that wake a loop when they change.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Resource,
    api::DynamicObject,
    runtime::{
        reflector::{Store, store::Writer},
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    problem::{ObjectId, Problem, Report},
    watch::watch,
};

/// Keeps a copy of all objects that `api` lists and notifies `changed` after each change. The copy is complete once
/// [`Store::wait_until_ready`] returns. The watch ends with `tasks`.
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
    let mut writer = Writer::new(kind);
    let store = writer.as_reader();
    tasks.spawn(async move {
        let mut events = std::pin::pin!(watch(api, name));
        while let Some(event) = events.next().await {
            writer.apply_watcher_event(&event);
            if !matches!(event, Event::Init | Event::InitApply(_)) {
                changed.notify_one();
            }
        }
    });
    store
}

/// Parses each object as `K`. An object that does not fit the type is reported and skipped. (A `Store<K>` could not
/// list any object while one of them does not fit.)
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
                report.invalid("spec", format!("the object is ignored: {error}"));
                problems.extend(report.into_problems());
                None
            }
        }
    });
    parsed.collect()
}

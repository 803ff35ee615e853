//! Events whose count rises when they happen again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use api_failure::ApiFailure;
use k8s_openapi::{
    api::core::v1::{Event, ObjectReference},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{Occurrence, event, namespace_of};

/// Number of recent events kept in memory. One that repeats (same object, reason and message) raises the count of
/// its Event instead of adding a new one.
const REMEMBERED: usize = 1024;

/// Writes the events of one component. Cheap to clone.
///
/// Delivery is best effort: an event that cannot be written is logged and dropped.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    component: &'static str,
    host: String,
    known: Arc<Mutex<HashMap<Key, Known>>>,
}

type Key = (String, Occurrence);

#[derive(Clone)]
struct Known {
    name: String,
    count: i32,
    used: jiff::Timestamp,
}

impl Recorder {
    /// Creates a recorder. `component` becomes the source of its Events; `host` may be empty.
    pub fn new(client: Client, component: &'static str, host: impl Into<String>) -> Self {
        Self {
            client,
            component,
            host: host.into(),
            known: Arc::default(),
        }
    }

    /// Records that `occurrence` happened to `object`, which must carry its uid.
    pub async fn record(&self, object: &ObjectReference, occurrence: Occurrence) {
        let reason = occurrence.reason;
        if let Err(failure) = self.write(object, occurrence).await {
            let name = object.name.as_deref().unwrap_or_default();
            tracing::debug!(%failure, reason, name, "cannot write an event");
        }
    }

    async fn write(
        &self,
        object: &ObjectReference,
        occurrence: Occurrence,
    ) -> Result<(), ApiFailure> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace_of(object));
        let now = jiff::Timestamp::now();
        let identity = object
            .uid
            .clone()
            .or_else(|| object.name.clone())
            .unwrap_or_default();
        let key = (
            format!(
                "{identity}/{}",
                object.field_path.as_deref().unwrap_or_default()
            ),
            occurrence,
        );
        let (known, repeated) = self.note(&key, object, now);
        if repeated {
            let patch = json!({"count": known.count, "lastTimestamp": Time(now)});
            match events
                .patch(&known.name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(ApiFailure::from)
            {
                Err(failure) if failure.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        let (_, occurrence) = key;
        let event = event(known.name, object, &occurrence, self.component, &self.host);
        let created = events.create(&PostParams::default(), &event).await;
        match created.map_err(ApiFailure::from) {
            // The namespace is being deleted, together with its events.
            Err(failure) if failure.is_namespace_terminating() || failure.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// The event to write for `key`, and `true` if it was written before.
    fn note(&self, key: &Key, object: &ObjectReference, now: jiff::Timestamp) -> (Known, bool) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(key) {
            known.count += 1;
            known.used = now;
            return (known.clone(), true);
        }
        if all.len() >= REMEMBERED
            && let Some(oldest) = all
                .iter()
                .min_by_key(|(_, known)| known.used)
                .map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        let name = format!(
            "{}.{:016x}",
            object.name.as_deref().unwrap_or("unknown"),
            fastrand::u64(..)
        );
        let known = Known {
            name,
            count: 1,
            used: now,
        };
        all.insert(key.clone(), known.clone());
        (known, false)
    }
}

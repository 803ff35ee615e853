//! Events on objects, as `kubectl describe` and `kubectl get events` show them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use api_failure::ApiFailure;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

/// Equal events (object, reason, message) remembered, so that a repetition counts up instead of
/// adding an object.
const REMEMBERED: usize = 1024;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// For information.
    Normal,
    /// Somebody may have to act.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Occurrence {
    /// Normal or Warning.
    pub severity: Severity,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Occurrence {
    /// A Normal event.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Normal,
            reason,
            message: message.into(),
        }
    }

    /// A Warning event.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            reason,
            message: message.into(),
        }
    }
}

/// Writes events of one component. They are `v1` Events (not `events.k8s.io`), the form every
/// version of kubectl counts and sorts. Cheap to clone.
///
/// Writing is best effort: an event that cannot be written is logged and dropped.
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
    /// `component` is shown as the event's source; `host` may be empty.
    pub fn new(client: Client, component: &'static str, host: impl Into<String>) -> Self {
        Self {
            client,
            component,
            host: host.into(),
            known: Arc::default(),
        }
    }

    /// Record that `occurrence` happened to `object` (which must carry its uid).
    pub async fn record(&self, object: &ObjectReference, occurrence: Occurrence) {
        let reason = occurrence.reason;
        if let Err(failure) = self.write(object, occurrence).await {
            let name = object.name.as_deref().unwrap_or_default();
            tracing::debug!(%failure, reason, name, "event not written");
        }
    }

    async fn write(
        &self,
        object: &ObjectReference,
        occurrence: Occurrence,
    ) -> Result<(), ApiFailure> {
        let namespace = object
            .namespace
            .clone()
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| "default".into());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
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
        let event = Event {
            metadata: ObjectMeta {
                name: Some(known.name),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: object.clone(),
            type_: Some(occurrence.severity.as_str().into()),
            reason: Some(occurrence.reason.into()),
            message: Some(occurrence.message),
            count: Some(known.count),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            source: Some(EventSource {
                component: Some(self.component.into()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.into()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        };
        match events
            .create(&PostParams::default(), &event)
            .await
            .map_err(ApiFailure::from)
        {
            // The namespace is going away: its events go with it.
            Err(failure) if failure.is_namespace_terminating() || failure.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// The event to write for `key`, and whether it was written before.
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

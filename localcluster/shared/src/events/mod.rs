//! Events on objects, as `kubectl describe` and `kubectl get events` show them.
//!
//! They are `v1` Events, not `events.k8s.io`: every version of kubectl counts and sorts those.

mod occurrence;
mod recorder;
mod reporter;

pub use occurrence::{Occurrence, Severity};
pub use recorder::Recorder;
pub use reporter::Reporter;

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

/// The namespace of the Events of an object: its own, or `default` for a cluster-scoped object.
fn namespace_of(object: &ObjectReference) -> String {
    let namespace = object.namespace.clone().filter(|name| !name.is_empty());
    namespace.unwrap_or_else(|| "default".to_owned())
}

/// An Event with a count of one and the current time.
fn event(
    name: String,
    object: &ObjectReference,
    occurrence: &Occurrence,
    component: &str,
    host: &str,
) -> Event {
    let now = Time(jiff::Timestamp::now());
    let host = Some(host.to_owned()).filter(|host| !host.is_empty());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace_of(object)),
            ..ObjectMeta::default()
        },
        involved_object: object.clone(),
        type_: Some(occurrence.severity.as_str().to_owned()),
        reason: Some(occurrence.reason.to_owned()),
        message: Some(occurrence.message.clone()),
        count: Some(1),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        source: Some(EventSource {
            component: Some(component.to_owned()),
            host: host.clone(),
        }),
        reporting_component: Some(component.to_owned()),
        reporting_instance: host,
        ..Event::default()
    }
}

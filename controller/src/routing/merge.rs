//! What the route objects of all routers have in common.

use canary_engine::observed::Weights;
use serde_json::{Map, Value, json};

use crate::api::CustomMetadata;
use crate::objects::{FLUX_ANNOTATIONS, json::object_at, services::is_annotated};

const KUBECTL_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The spec that an adopted route object had before, as JSON; written once, never overwritten.
const ORIGINAL_ANNOTATION: &str = "flagger.kubernetes.io/original-configuration";

/// Adds the metadata that a route object should have to what it has. One that is being adopted also remembers its
/// spec, for the way back.
pub(super) fn describe(object: &mut Value, apex: Option<&CustomMetadata>, adopted: Option<&Value>) {
    if let Some(existing) = adopted {
        remember_original(existing, object);
    }
    let metadata = apex.cloned().unwrap_or_default();
    let labels = metadata.labels.into_iter().flatten();
    object_at(object, &["metadata", "labels"]).extend(labels.map(|(k, v)| (k, json!(v))));
    let annotations = object_at(object, &["metadata", "annotations"]);
    let wanted = metadata.annotations.into_iter().flatten();
    annotations.extend(wanted.map(|(k, v)| (k, json!(v))));
    annotations.extend(FLUX_ANNOTATIONS.map(|(key, value)| (key.to_owned(), json!(value))));
    drop_empty(object, "labels");
}

/// Whether a route object has the labels, annotations and spec that it is made with.
pub(super) fn is_made(made: &Value, existing: &Value) -> bool {
    let (metadata, existing_metadata) = (&made["metadata"], &existing["metadata"]);
    let annotations = metadata["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    metadata["labels"] == existing_metadata["labels"]
        && is_annotated(&existing_metadata["annotations"], &annotations)
        && made["spec"] == existing["spec"]
}

fn remember_original(existing: &Value, object: &mut Value) {
    let annotations = &existing["metadata"]["annotations"];
    let known =
        !annotations[KUBECTL_ANNOTATION].is_null() || !annotations[ORIGINAL_ANNOTATION].is_null();
    if !known && existing["spec"].is_object() {
        object_at(object, &["metadata", "annotations"]).insert(
            ORIGINAL_ANNOTATION.to_owned(),
            json!(existing["spec"].to_string()),
        );
    }
}

fn drop_empty(object: &mut Value, field: &str) {
    if let Some(metadata) = object["metadata"].as_object_mut()
        && metadata
            .get(field)
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
    {
        metadata.remove(field);
    }
}

/// The routes (or rules) of an object with the canary's in place: where it was, or where the one to the apex Service
/// was, or before the first that takes every request.
pub(super) fn place(
    existing: Vec<Value>,
    route: Value,
    is_ours: impl Fn(&Value) -> bool,
    takes_everything: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let position = existing
        .iter()
        .position(&is_ours)
        .or_else(|| existing.iter().position(takes_everything))
        .unwrap_or(existing.len());
    let mut routes = existing;
    let after = routes.split_off(position);
    routes.push(route);
    routes.extend(after.into_iter().filter(|one| !is_ours(one)));
    routes
}

/// Weights as they stand in an object, as percent. Those that do not sum to 100, as written by others, are scaled.
pub(super) fn percent(primary: u64, canary: u64) -> Weights {
    let total = primary + canary;
    let percent = (canary * 100 + total / 2).checked_div(total).unwrap_or(0);
    Weights::canary(u8::try_from(percent).unwrap_or(100))
}

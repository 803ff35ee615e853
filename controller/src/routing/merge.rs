//! Functions shared by the route objects of all routers.

use canary_engine::observed::Weights;
use serde_json::{Map, Value, json};

use crate::api::CustomMetadata;
use crate::objects::{FLUX_ANNOTATIONS, json::object_at, services::is_annotated};

const KUBECTL_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The spec of an adopted route object before its adoption, as JSON. It is written once and never overwritten.
const ORIGINAL_ANNOTATION: &str = "flagger.kubernetes.io/original-configuration";

/// Adds the desired metadata to a route object. If `adopted` is given, its original spec is saved in an annotation, so
/// that it can be restored.
pub(super) fn describe(object: &mut Value, apex: Option<&CustomMetadata>, adopted: Option<&Value>) {
    if let Some(existing) = adopted {
        save_original(existing, object);
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

/// Returns whether the labels, annotations and spec of a route object equal those of the generated one.
pub(super) fn is_generated(generated: &Value, existing: &Value) -> bool {
    let (metadata, existing_metadata) = (&generated["metadata"], &existing["metadata"]);
    let annotations = metadata["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    metadata["labels"] == existing_metadata["labels"]
        && is_annotated(&existing_metadata["annotations"], &annotations)
        && generated["spec"] == existing["spec"]
}

fn save_original(existing: &Value, object: &mut Value) {
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

/// Inserts the canary's route (or rule) into those of an object: in the place of its predecessor or of the route to the
/// apex Service, or else before the first route that matches all requests.
pub(super) fn place(
    existing: Vec<Value>,
    route: Value,
    is_ours: impl Fn(&Value) -> bool,
    matches_all: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let position = existing
        .iter()
        .position(&is_ours)
        .or_else(|| existing.iter().position(matches_all))
        .unwrap_or(existing.len());
    let mut routes = existing;
    let after = routes.split_off(position);
    routes.push(route);
    routes.extend(after.into_iter().filter(|one| !is_ours(one)));
    routes
}

/// Converts the weights in an object to percent. Weights set by another client may not add up to 100; they are scaled.
pub(super) fn percent(primary: u64, canary: u64) -> Weights {
    let total = primary + canary;
    let percent = (canary * 100 + total / 2).checked_div(total).unwrap_or(0);
    Weights::canary(u8::try_from(percent).unwrap_or(100))
}

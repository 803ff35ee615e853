//! Object references of the Gateway API.

use serde_json::{Value, json};

use crate::objects::json::object_at;

/// API group of the Gateway API.
pub(super) const GROUP: &str = "gateway.networking.k8s.io";

/// Fills in the default group and kind of a reference, as the API server does.
pub(super) fn with_defaults(reference: &Value, group: &str, kind: &str) -> Value {
    let mut reference = reference.clone();
    let fields = object_at(&mut reference, &[]);
    for (field, default) in [("group", group), ("kind", kind)] {
        fields
            .entry(field.to_owned())
            .or_insert_with(|| json!(default));
    }
    reference
}

//! Schema fragments that a Rust type cannot express.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object with arbitrary fields, for types of Istio and the Gateway API that are passed through.
pub(super) fn opaque_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of objects with arbitrary fields.
pub(super) fn opaque_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
    })
}

/// A port number or port name.
pub(super) fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

//! Reading and writing the parts that every Kubernetes object has.

use serde_json::{Map, Value};

/// An object's fields.
pub(crate) type Fields = Map<String, Value>;

/// The string at a JSON pointer, empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`, empty for objects without one.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// `metadata.resourceVersion` as text.
pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

/// Returns whether deletion has begun.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|value| !value.is_null())
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// The object at `key`, put there empty if it is missing or no object.
pub(crate) fn child<'a>(fields: &'a mut Fields, key: &str) -> &'a mut Fields {
    let slot = fields
        .entry(key.to_owned())
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object just above"),
    }
}

/// The fields of an object, which is made an empty one if it is something else.
pub(crate) fn fields(object: &mut Value) -> &mut Fields {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    match object {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object just above"),
    }
}

/// `metadata`, made if it is missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Fields {
    child(fields(object), "metadata")
}

/// Sets `key` to `value` unless it is there already and not null.
pub(crate) fn set_default(fields: &mut Fields, key: &str, value: impl Into<Value>) {
    if fields.get(key).is_none_or(Value::is_null) {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Copies the field `key` from `source` to `target`, removing it there when `source` has none.
pub(crate) fn copy_field(source: &Value, target: &mut Value, key: &str) {
    match source.get(key) {
        Some(value) => fields(target).insert(key.to_owned(), value.clone()),
        None => fields(target).remove(key),
    };
}

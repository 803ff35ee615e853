//! Helpers for building JSON objects in place.

use serde_json::{Map, Value};

/// The object at `path`. Missing objects are created. A value of another type is replaced, because the API server
/// would not accept it.
pub(crate) fn object_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut here = value;
    for step in path {
        here = as_object(here)
            .entry((*step).to_owned())
            .or_insert(Value::Null);
    }
    as_object(here)
}

/// Sets a field, or removes it if the value is `None`.
pub(crate) fn set_or_remove(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(field.to_owned(), value)),
        None => drop(map.remove(field)),
    }
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("replaced by an object above"),
    }
}

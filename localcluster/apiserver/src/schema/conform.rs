//! Making a decoded object fit its schema: unknown fields are found and dropped, and for built-in kinds
//! values of a wrong type are refused, as decoding into typed structures does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Schema, Type, quantity};

/// What does not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Misfits {
    /// Paths of dropped fields.
    pub(crate) unknown: Vec<String>,
    /// The first value that cannot be decoded, as a message.
    pub(crate) undecodable: Option<String>,
}

/// Fits an object of a built-in kind. Nulls are dropped: they decode to nothing.
pub(crate) fn builtin(schema: &Schema, object: &mut Value) -> Misfits {
    let mut misfits = Misfits::default();
    fit(schema, object, "", &mut misfits);
    misfits
}

/// Drops what a structural schema does not know. `metadata`, `kind` and `apiVersion` are always known at
/// the top and inside embedded objects.
pub(crate) fn prune(schema: &Schema, object: &mut Value) -> Misfits {
    let mut misfits = Misfits::default();
    prune_value(schema, object, "", true, &mut misfits);
    misfits
}

/// As [`prune`], for a value inside an object.
pub(super) fn prune_part(schema: &Schema, value: &mut Value, embedded: bool) {
    prune_value(schema, value, "", embedded, &mut Misfits::default());
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

fn fit(schema: &Schema, value: &mut Value, path: &str, misfits: &mut Misfits) {
    let schema = schema.resolve();
    match (schema.kind, &mut *value) {
        (Type::Any, _) => {}
        (Type::Object, Value::Object(fields)) => fit_fields(schema, fields, path, misfits),
        (Type::Array, Value::Array(items)) => {
            if let Some(item) = &schema.items {
                for (index, value) in items.iter_mut().enumerate() {
                    fit(item, value, &format!("{path}[{index}]"), misfits);
                }
            }
        }
        _ => {
            if let Err(wanted) = fit_scalar(schema, value) {
                misfits
                    .undecodable
                    .get_or_insert_with(|| undecodable(value, path, &wanted));
            }
        }
    }
}

fn fit_fields(schema: &Schema, fields: &mut Map<String, Value>, path: &str, misfits: &mut Misfits) {
    let typed = !schema.properties.is_empty() || schema.additional.is_some();
    fields.retain(|name, value| {
        let path = join(path, name);
        match schema.field(name) {
            Some(_) if value.is_null() => false,
            Some(field) => {
                fit(field, value, &path, misfits);
                true
            }
            None if !typed || schema.preserve_unknown => true,
            None => {
                misfits.unknown.push(path);
                false
            }
        }
    });
}

/// Checks a scalar; the error is the type that was wanted.
fn fit_scalar(schema: &Schema, value: &mut Value) -> Result<(), String> {
    let is_quantity = schema.format == "quantity";
    let fits = match (schema.kind, &*value) {
        (_, Value::String(text)) if is_quantity => quantity::parse(text).is_some(),
        (_, Value::Number(number)) if is_quantity => {
            *value = Value::String(number.to_string());
            true
        }
        (Type::String, Value::String(text)) => match schema.format.as_str() {
            "date-time" => text.is_empty() || text.parse::<Timestamp>().is_ok(),
            "byte" => STANDARD.decode(text).is_ok(),
            _ => true,
        },
        (Type::Integer, Value::Number(number)) => match schema.format.as_str() {
            "int32" => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            _ => number.is_i64() || number.is_u64(),
        },
        (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::IntOrString, Value::String(_)) => true,
        (Type::IntOrString, Value::Number(number)) => number.is_i64(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(wanted(schema)) }
}

fn wanted(schema: &Schema) -> String {
    match (schema.kind, schema.format.as_str()) {
        (_, "quantity") => "resource.Quantity",
        (Type::String, "date-time") => "v1.Time",
        (Type::String, "byte") => "[]uint8",
        (Type::Integer, "int32") => "int32",
        (Type::Integer, _) => "int64",
        (Type::IntOrString, _) => "intstr.IntOrString",
        (Type::Boolean, _) => "bool",
        (kind, _) => kind.name(),
    }
    .to_owned()
}

fn undecodable(value: &Value, path: &str, wanted: &str) -> String {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(text) if wanted == "resource.Quantity" => {
            return format!(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': field {path}: {text:?}"
            );
        }
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    format!("json: cannot unmarshal {found} into Go struct field {path} of type {wanted}")
}

/// Drops what a part of a structural schema does not know; `embedded` values are objects of their own.
fn prune_value(
    schema: &Schema,
    value: &mut Value,
    path: &str,
    embedded: bool,
    misfits: &mut Misfits,
) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let path = join(path, name);
            // The metadata of an object is not the schema's business; see `conform::metadata`.
            if embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                return true;
            }
            match schema.field(name) {
                Some(field) => {
                    prune_value(field, value, &path, field.embedded, misfits);
                    true
                }
                None if schema.preserve_unknown || schema.kind == Type::Any && !embedded => true,
                None => {
                    misfits.unknown.push(path);
                    false
                }
            }
        }),
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                for (index, value) in items.iter_mut().enumerate() {
                    prune_value(
                        item,
                        value,
                        &format!("{path}[{index}]"),
                        item.embedded,
                        misfits,
                    );
                }
            }
        }
        _ => {}
    }
}

/// Fits the `metadata` of a custom object, which has the same type in every kind.
pub(crate) fn metadata(object: &mut Value) -> Misfits {
    let mut misfits = Misfits::default();
    if let Some(metadata) = object.get_mut("metadata") {
        let schema = super::builtin::object_meta();
        fit(schema, metadata, "metadata", &mut misfits);
    }
    misfits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    #[test]
    fn unknown_fields_are_named_by_path_and_dropped() {
        let mut object = json!({
            "metadata": { "name": "d", "creationTimestamp": null, "x": 1 },
            "spec": { "replica": 1, "template": { "spec": { "containers": [{ "name": "c", "img": "" }] } } },
        });
        let misfits = builtin(builtin::schema("apps", "v1", "Deployment"), &mut object);
        assert_eq!(
            misfits.unknown,
            [
                "metadata.x",
                "spec.replica",
                "spec.template.spec.containers[0].img"
            ]
        );
        assert_eq!(
            object,
            json!({
                "metadata": { "name": "d" },
                "spec": { "template": { "spec": { "containers": [{ "name": "c" }] } } },
            })
        );
    }

    #[test]
    fn wrong_types_are_refused() {
        for (spec, expected) in [
            (
                json!({"replicas": "3"}),
                "json: cannot unmarshal string into Go struct field spec.replicas of type int32",
            ),
            (
                json!({"replicas": 1.5}),
                "json: cannot unmarshal number 1.5 into Go struct field spec.replicas of type int32",
            ),
            (
                json!({"template": []}),
                "json: cannot unmarshal array into Go struct field spec.template of type object",
            ),
        ] {
            let mut object = json!({ "spec": spec });
            let misfits = builtin(builtin::schema("apps", "v1", "Deployment"), &mut object);
            assert_eq!(misfits.undecodable.as_deref(), Some(expected));
        }
    }

    #[test]
    fn pruning_keeps_what_the_schema_preserves() {
        let schema = Schema::compile(&json!({
            "type": "object",
            "properties": {
                "spec": { "type": "object", "properties": {
                    "a": { "type": "string" },
                    "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    "map": { "type": "object", "additionalProperties": { "type": "object", "properties": { "k": {"type": "integer"} } } },
                } },
            },
        }))
        .unwrap();
        let mut object = json!({
            "kind": "K", "metadata": { "name": "n" },
            "spec": { "a": "1", "b": 2, "free": { "x": { "y": 1 } }, "map": { "m": { "k": 1, "l": 2 } } },
            "extra": {},
        });
        let misfits = prune(&schema, &mut object);
        assert_eq!(misfits.unknown, ["extra", "spec.b", "spec.map.m.l"]);
        assert_eq!(object["spec"]["free"], json!({ "x": { "y": 1 } }));
        assert_eq!(object["spec"]["map"], json!({ "m": { "k": 1 } }));
    }
}

//! Defaults of structural schemas.

use serde_json::Value;

use super::{Schema, Type};

/// Fills in missing fields that have a default, also inside defaults. A null where null is not allowed
/// counts as missing: it gives way to the default, or goes.
pub(crate) fn apply(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                !value.is_null() || schema.field(name).is_none_or(may_be_null)
            });
            for (name, property) in &schema.properties {
                let missing = match fields.get(name) {
                    None => true,
                    Some(value) => value.is_null() && !property.nullable,
                };
                if let (true, Some(default)) = (missing, &property.default) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(field) = schema.field(name) {
                    apply(field, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                items.iter_mut().for_each(|value| apply(item, value));
            }
        }
        _ => {}
    }
}

/// Returns whether a null is kept: it is allowed, is replaced by a default, or its field may hold anything.
fn may_be_null(schema: &Schema) -> bool {
    let free = schema.kind == Type::Any && !schema.preserve_unknown;
    schema.nullable || schema.default.is_some() || free
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_fields_get_their_defaults_at_every_depth() {
        let schema = Schema::compile(&json!({
            "type": "object",
            "properties": {
                "spec": { "type": "object", "default": {}, "properties": {
                    "n": { "type": "integer", "default": 3 },
                    "s": { "type": "string", "nullable": true, "default": "x" },
                    "plain": { "type": "string" },
                    "free": { "type": "object", "additionalProperties": true },
                    "list": { "type": "array", "items": { "type": "object", "properties": {
                        "p": { "type": "string", "default": "TCP" },
                    } } },
                } },
            },
        }))
        .unwrap();
        let mut empty = json!({});
        apply(&schema, &mut empty);
        assert_eq!(empty, json!({ "spec": { "n": 3, "s": "x" } }));
        let mut some = json!({ "spec": {
            "n": null, "s": null, "list": [{}], "plain": null, "free": { "x": null },
        } });
        apply(&schema, &mut some);
        assert_eq!(
            some,
            json!({ "spec": {
                "n": 3, "s": null, "list": [{ "p": "TCP" }], "free": { "x": null },
            } })
        );
    }
}

//! Objects inside objects (`x-kubernetes-embedded-resource`): each has a kind and metadata of its own.

use serde_json::{Map, Value};

use super::Schema;
use crate::names;
use crate::status::Cause;

/// Checks the kind and the API version of each object embedded in `value`, whose path is `path`.
pub(crate) fn check(schema: &Schema, value: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    node(schema, value, path, &mut causes);
    causes
}

fn node(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                identity(fields, path, causes);
            }
            for (name, value) in fields {
                if let Some(property) = schema.properties.get(name) {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    node(property, value, &path, causes);
                } else if let Some(additional) = &schema.additional {
                    node(additional, value, &format!("{path}[{name}]"), causes);
                }
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                if let Some(item) = schema.item() {
                    node(item, value, &format!("{path}[{index}]"), causes);
                }
            }
        }
        _ => {}
    }
}

fn identity(fields: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for key in ["apiVersion", "kind"] {
        let field = format!("{path}.{key}");
        match fields.get(key) {
            None => causes.push(Cause::required(field, "")),
            Some(Value::String(text)) if text.is_empty() => {
                causes.push(Cause::invalid(field, &"".into(), "must not be empty"));
            }
            Some(value @ Value::String(text)) => {
                let why = if key == "kind" {
                    names::kind(text).err()
                } else if text.matches('/').count() > 1 {
                    Some(format!("unexpected GroupVersion string: {text}"))
                } else {
                    None
                };
                causes.extend(why.map(|why| Cause::invalid(field, value, &why)));
            }
            Some(other) => causes.push(Cause::invalid(field, other, "must be a string")),
        }
    }
}

//! Server-side apply: merging what an applier wants into the live object, field by field, and taking
//! away what it no longer wants.

use serde_json::{Map, Value};

use super::PatchError;
use super::fields::{Element, FieldSet, Path, element, merges};
use super::order::in_order;
use crate::schema::Schema;

/// The live object with the fields of `config` put in.
pub(crate) fn merge(schema: &Schema, live: &Value, config: &Value) -> Result<Value, PatchError> {
    merge_value(Some(schema), live, config)
}

fn merge_value(schema: Option<&Schema>, live: &Value, config: &Value) -> Result<Value, PatchError> {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !schema.is_some_and(Schema::is_atomic) => {
            let mut merged = live.clone();
            for (name, value) in config {
                let field = schema.and_then(|schema| schema.field(name));
                let before = live.get(name).unwrap_or(&Value::Null);
                merged.insert(name.clone(), merge_value(field, before, value)?);
            }
            Ok(Value::Object(merged))
        }
        (Value::Array(live), Value::Array(config)) if schema.is_some_and(merges) => {
            merge_items(schema, live, config).map(Value::Array)
        }
        _ => Ok(config.clone()),
    }
}

fn merge_items(
    schema: Option<&Schema>,
    live: &[Value],
    config: &[Value],
) -> Result<Vec<Value>, PatchError> {
    let identity = |item: &Value| element(schema, item).map_err(PatchError::Malformed);
    let mut merged = live.to_vec();
    for item in config {
        let wanted = identity(item)?;
        match merged
            .iter_mut()
            .find(|before| element(schema, before).as_ref() == Ok(&wanted))
        {
            Some(before) => {
                *before = merge_value(schema.and_then(Schema::item), before, item)?;
            }
            None => merged.push(item.clone()),
        }
    }
    let same = |a: &Value, b: &Value| element(schema, a) == element(schema, b);
    Ok(in_order(merged, config, live, same))
}

/// Takes the given paths out of an object, and objects and lists that become empty with that. An item
/// of a list stays while one of its fields is among `kept`.
pub(crate) fn remove(schema: &Schema, object: &mut Value, gone: &FieldSet, kept: &FieldSet) {
    // Items come before their fields, so that an item that goes is still found by its keys.
    for path in &gone.0 {
        if !kept.has_within(path) && !identifies_item(path) {
            remove_path(Some(schema), object, path, kept, &mut Path::new());
        }
    }
}

/// Returns whether the path leads to a key of a list's item, which goes only with the item.
fn identifies_item(path: &[Element]) -> bool {
    match path {
        [.., Element::Key(keys), Element::Field(field)] => {
            serde_json::from_str::<Map<String, Value>>(keys)
                .is_ok_and(|keys| keys.contains_key(field))
        }
        _ => false,
    }
}

/// Returns whether the value is empty now and may go as well.
fn remove_path(
    schema: Option<&Schema>,
    value: &mut Value,
    path: &[Element],
    kept: &FieldSet,
    walked: &mut Path,
) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    walked.push(first.clone());
    let emptied = match (first, value) {
        (Element::Field(name), Value::Object(fields)) => {
            remove_field(schema, fields, name, rest, kept, walked)
        }
        (wanted, Value::Array(items)) => {
            let position = items
                .iter()
                .position(|item| element(schema, item).as_ref() == Ok(wanted));
            if let Some(position) = position {
                let item_schema = schema.and_then(Schema::item);
                if rest.is_empty() {
                    items.remove(position);
                } else {
                    remove_path(item_schema, &mut items[position], rest, kept, walked);
                }
            }
            position.is_some() && items.is_empty()
        }
        _ => false,
    };
    walked.pop();
    emptied && !kept.has_within(walked)
}

fn remove_field(
    schema: Option<&Schema>,
    fields: &mut Map<String, Value>,
    name: &str,
    rest: &[Element],
    kept: &FieldSet,
    walked: &mut Path,
) -> bool {
    let Some(value) = fields.get_mut(name) else {
        return false;
    };
    let field = schema.and_then(|schema| schema.field(name));
    if remove_path(field, value, rest, kept, walked) {
        fields.remove(name);
        return fields.is_empty();
    }
    false
}

//! Strategic merge patch: a merge patch that knows which lists merge by key.
//!
//! Directives: `$patch` (`replace`, `delete`, `merge`) in objects and list items, `$retainKeys`,
//! `$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD`.

use serde_json::{Map, Value};

use super::PatchError;
use super::order::in_order;
use crate::schema::Schema;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

type Fields = Map<String, Value>;

/// Applies `patch` to `object`, which has the given schema.
pub(crate) fn apply(schema: &Schema, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            merge_fields(Some(schema), object.clone(), patch).map(Value::Object)
        }
        _ => Err(PatchError::Malformed(
            "a strategic merge patch must be an object".to_owned(),
        )),
    }
}

fn merge_fields(
    schema: Option<&Schema>,
    mut object: Fields,
    patch: &Fields,
) -> Result<Fields, PatchError> {
    match directive(patch)? {
        Some("replace") => return Ok(without_directives(patch)),
        Some("delete") => return Ok(Fields::new()),
        _ => {}
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        let keys = keys
            .as_array()
            .ok_or_else(|| malformed(RETAIN_KEYS, "must be a list"))?;
        object.retain(|name, _| keys.iter().any(|key| key == name.as_str()));
    }
    let original = object.clone();
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(DELETE_FROM_LIST) {
            delete_from_list(&mut object, field, value)?;
        } else if !name.starts_with('$') {
            merge_field(
                schema.and_then(|schema| schema.field(name)),
                &mut object,
                name,
                value,
            )?;
        }
    }
    for (name, order) in patch {
        if let Some(field) = name.strip_prefix(ELEMENT_ORDER) {
            let order = order
                .as_array()
                .ok_or_else(|| malformed(name, "must be a list"))?;
            let field_schema = schema.and_then(|schema| schema.field(field));
            let key = field_schema.and_then(merge_key).unwrap_or_default();
            let before = original
                .get(field)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            if let Some(Value::Array(items)) = object.get_mut(field) {
                *items = in_order(std::mem::take(items), order, &before, same_by(key));
            }
        }
    }
    Ok(object)
}

fn merge_field(
    schema: Option<&Schema>,
    object: &mut Fields,
    name: &str,
    value: &Value,
) -> Result<(), PatchError> {
    let current = object.remove(name);
    let merged = match (current, value) {
        (_, Value::Null) => return Ok(()),
        (Some(Value::Object(current)), Value::Object(patch)) => {
            Value::Object(merge_fields(schema, current, patch)?)
        }
        // Directives have no place in what is stored.
        (_, Value::Object(patch)) => Value::Object(merge_fields(schema, Fields::new(), patch)?),
        (current, Value::Array(patch)) => {
            let current = match current {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            match schema.and_then(merge_key) {
                Some("") => Value::Array(merge_scalars(&current, patch)),
                Some(key) => Value::Array(merge_items(schema, &current, patch, key)?),
                None => value.clone(),
            }
        }
        (_, scalar) => scalar.clone(),
    };
    object.insert(name.to_owned(), merged);
    Ok(())
}

/// The key by which a list merges, empty for a list of scalars.
fn merge_key(schema: &Schema) -> Option<&str> {
    schema.patch_merge_key.as_deref()
}

fn directive(patch: &Fields) -> Result<Option<&str>, PatchError> {
    match patch.get(PATCH) {
        None => Ok(None),
        Some(Value::String(word)) if matches!(word.as_str(), "replace" | "delete" | "merge") => {
            Ok(Some(word))
        }
        Some(other) => Err(malformed(PATCH, &format!("unknown patch type {other}"))),
    }
}

fn malformed(what: &str, why: &str) -> PatchError {
    PatchError::Malformed(format!("{what}: {why}"))
}

fn without_directives(patch: &Fields) -> Fields {
    patch
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn delete_from_list(object: &mut Fields, field: &str, gone: &Value) -> Result<(), PatchError> {
    let gone = gone
        .as_array()
        .ok_or_else(|| malformed(DELETE_FROM_LIST, "must be a list"))?;
    if let Some(Value::Array(items)) = object.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_scalars(current: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for item in current.iter().chain(patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    in_order(merged, patch, current, same_by(""))
}

fn merge_items(
    schema: Option<&Schema>,
    current: &[Value],
    patch: &[Value],
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    let item_schema = schema.and_then(Schema::item);
    let mut merged = current.to_vec();
    let mut replaces = false;
    let mut changes = Vec::new();
    for item in patch {
        let fields = item
            .as_object()
            .ok_or_else(|| malformed("list", "items must be objects"))?;
        match directive(fields)? {
            Some("replace") => {
                replaces = true;
                let rest = without_directives(fields);
                if !rest.is_empty() {
                    changes.push(rest);
                }
            }
            Some("delete") => {
                let id = identity(fields, key)?;
                merged.retain(|item| item.get(key) != Some(id));
            }
            _ => changes.push(fields.clone()),
        }
    }
    if replaces {
        return Ok(changes.into_iter().map(Value::Object).collect());
    }
    for change in &changes {
        let id = identity(change, key)?;
        let slot = merged.iter_mut().find(|item| item.get(key) == Some(id));
        let before = slot
            .as_ref()
            .and_then(|item| item.as_object().cloned())
            .unwrap_or_default();
        let after = Value::Object(merge_fields(item_schema, before, change)?);
        match slot {
            Some(slot) => *slot = after,
            None => merged.push(after),
        }
    }
    let order: Vec<Value> = changes.into_iter().map(Value::Object).collect();
    Ok(in_order(merged, &order, current, same_by(key)))
}

fn identity<'a>(item: &'a Fields, key: &str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| {
        PatchError::Malformed(format!(
            "map: {} does not contain declared merge key: {key}",
            Value::Object(item.clone())
        ))
    })
}

fn same_by<'a>(key: &'a str) -> impl Fn(&Value, &Value) -> bool + 'a {
    move |a, b| {
        if key.is_empty() {
            a == b
        } else {
            a.get(key) == b.get(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    fn pod_spec() -> &'static Schema {
        builtin::schema("", "v1", "Pod").field("spec").unwrap()
    }

    fn patched(object: Value, patch: Value) -> Value {
        apply(pod_spec(), &object, &patch).unwrap()
    }

    #[test]
    fn containers_merge_by_name() {
        let object =
            json!({ "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}] });
        let patch = json!({ "containers": [{"name": "b", "image": "b:2"}] });
        assert_eq!(
            patched(object, patch),
            json!({ "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}] })
        );
    }

    #[test]
    fn items_are_deleted_added_and_ordered() {
        let object = json!({ "containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}] });
        let patch = json!({
            "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}, {"name": "a"}],
            "containers": [{"name": "d"}, {"name": "b", "$patch": "delete"}],
        });
        assert_eq!(
            patched(object, patch),
            json!({ "containers": [{"name": "d"}, {"name": "c"}, {"name": "a"}] })
        );
    }

    #[test]
    fn items_that_the_patch_does_not_know_stay_in_place() {
        let object =
            json!({ "containers": [{"name": "x"}, {"name": "a"}, {"name": "y"}, {"name": "b"}] });
        let patch = json!({ "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}] });
        assert_eq!(
            patched(object, patch),
            json!({ "containers": [{"name": "x"}, {"name": "y"}, {"name": "b"}, {"name": "a"}] })
        );
    }

    #[test]
    fn whole_values_are_replaced_or_deleted_on_request() {
        let object = json!({ "containers": [{"name": "a"}], "securityContext": {"runAsUser": 1, "fsGroup": 2} });
        let patch = json!({
            "containers": [{"name": "z"}, {"$patch": "replace"}],
            "securityContext": {"$patch": "replace", "runAsUser": 3},
            "hostname": null,
        });
        assert_eq!(
            patched(object, patch),
            json!({ "containers": [{"name": "z"}], "securityContext": {"runAsUser": 3} })
        );
        let object = json!({ "containers": [{"name": "a"}], "securityContext": {"runAsUser": 1} });
        assert_eq!(
            patched(object, json!({ "securityContext": {"$patch": "delete"} }))["securityContext"],
            json!({})
        );
    }

    #[test]
    fn volumes_keep_only_the_retained_keys() {
        let object = json!({ "volumes": [{"name": "v", "emptyDir": {}}] });
        let patch = json!({ "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}] });
        assert_eq!(
            patched(object, patch),
            json!({ "volumes": [{"name": "v", "hostPath": {"path": "/x"}}] })
        );
    }

    #[test]
    fn lists_of_scalars_merge_or_lose_items() {
        let schema = builtin::schema("", "v1", "Pod").field("metadata").unwrap();
        let object = json!({ "finalizers": ["a", "b"] });
        let merged = apply(schema, &object, &json!({ "finalizers": ["c"] })).unwrap();
        assert_eq!(merged, json!({ "finalizers": ["c", "a", "b"] }));
        let patch = json!({ "$deleteFromPrimitiveList/finalizers": ["a"] });
        assert_eq!(
            apply(schema, &object, &patch).unwrap(),
            json!({ "finalizers": ["b"] })
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced() {
        let object = json!({ "tolerations": [{"key": "a"}] });
        let patch = json!({ "tolerations": [{"key": "b"}] });
        assert_eq!(patched(object, patch.clone()), patch);
    }

    #[test]
    fn malformed_patches_are_refused() {
        let object = json!({ "containers": [{"name": "a"}] });
        for patch in [
            json!([]),
            json!({ "containers": [{"image": "no name"}] }),
            json!({ "containers": [{"name": "a", "$patch": "explode"}] }),
            json!({ "$retainKeys": "x" }),
        ] {
            assert!(apply(pod_spec(), &object, &patch).is_err(), "{patch}");
        }
    }
}

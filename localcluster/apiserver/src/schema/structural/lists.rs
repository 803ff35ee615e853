//! `x-kubernetes-list-type` and `x-kubernetes-list-map-keys`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::kind::must_have_type;
use super::node::Node;
use crate::status::Cause;

const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

pub(super) fn check(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    let list_type = schema.get(LIST_TYPE);
    if list_type.is_some() {
        must_have_type(schema, "array", LIST_TYPE, path, causes);
    }
    let items = schema.schema("items");
    if list_type.is_some_and(|list_type| list_type == "set")
        && schema.kind() == "array"
        && let Some(items) = items
    {
        items_are_atomic(items, path, causes);
    }
    if let Some(list_type) = list_type
        && !["atomic", "set", "map"]
            .iter()
            .any(|known| list_type == known)
    {
        causes.push(Cause::not_supported(
            format!("{path}.{LIST_TYPE}"),
            list_type,
            &["atomic", "set", "map"],
        ));
    }
    if schema.filled(KEYS) && list_type.is_none_or(|list_type| list_type != "map") {
        let (field, detail) = (
            format!("{path}.{LIST_TYPE}"),
            "must be map if x-kubernetes-list-map-keys is non-empty",
        );
        causes.push(match list_type {
            None => Cause::required(field, detail),
            Some(other) => Cause::invalid(field, other, detail),
        });
    }
    match list_type.and_then(Value::as_str) {
        Some("map") => {
            map(schema, path, causes);
            not_nullable(items, "map", path, causes);
            keys_are_there(schema, path, causes);
        }
        Some("set") => not_nullable(items, "set", path, causes),
        _ => {}
    }
}

/// Items of a set are compared as wholes, so that they must merge as wholes.
fn items_are_atomic(items: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    let list_type = items.get(LIST_TYPE).unwrap_or(&Value::Null);
    let atomic = items.get(MAP_TYPE).is_some_and(|kind| kind == "atomic");
    let extension = match items.kind() {
        "array" if !list_type.is_null() && list_type != "atomic" => LIST_TYPE,
        "object" if !atomic => MAP_TYPE,
        _ => return,
    };
    causes.push(Cause::invalid(
        format!("{path}.items.{extension}"),
        // Upstream prints the list type in both cases.
        list_type,
        "must be atomic as item of a list with x-kubernetes-list-type=set",
    ));
}

fn map(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    if !schema.filled(KEYS) {
        causes.push(Cause::required(
            format!("{path}.{KEYS}"),
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    if schema.get("items").is_none() {
        causes.push(Cause::required(
            format!("{path}.items"),
            "must have a schema if x-kubernetes-list-type is map",
        ));
    }
    let Some(items) = schema.schema("items") else {
        return;
    };
    if items.kind() != "object" {
        causes.push(Cause::invalid(
            format!("{path}.items.type"),
            &items.kind().into(),
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
        return;
    }
    let mut seen = HashSet::new();
    let (mut repeated, mut unknown) = (false, false);
    for key in schema.list(KEYS).filter_map(Value::as_str) {
        repeated |= !seen.insert(key);
        match items.property(key) {
            None => unknown = true,
            Some(property) if matches!(property.kind(), "array" | "object") => {
                causes.push(Cause::invalid(
                    format!("{path}.items.properties[{key}].type"),
                    // Upstream prints the type of the item.
                    &json!("object"),
                    "must be a scalar type if parent array's x-kubernetes-list-type is map",
                ));
            }
            Some(_) => {}
        }
    }
    for (wrong, detail) in [
        (repeated, "must not contain duplicate entries"),
        (unknown, "entries must all be names of item properties"),
    ] {
        if wrong {
            let keys = schema.get(KEYS).unwrap_or(&Value::Null);
            causes.push(Cause::invalid(format!("{path}.{KEYS}"), keys, detail));
        }
    }
}

fn not_nullable(items: Option<Node<'_>>, list_type: &str, path: &str, causes: &mut Vec<Cause>) {
    if items.is_some_and(|items| items.flag("nullable")) {
        causes.push(Cause::forbidden(
            format!("{path}.items.nullable"),
            &format!("cannot be nullable when x-kubernetes-list-type is {list_type}"),
        ));
    }
}

/// Each item must have a value of each key.
fn keys_are_there(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    let Some(items) = schema.schema("items") else {
        return;
    };
    let required: HashSet<&str> = items.list("required").filter_map(Value::as_str).collect();
    for key in schema.list(KEYS).filter_map(Value::as_str) {
        let Some(property) = items.property(key) else {
            continue;
        };
        let field = format!("{path}.items.properties[{key}]");
        let required = required.contains(key);
        if !required && property.get("default").is_none() {
            causes.push(Cause::required(
                format!("{field}.default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
        if property.flag("nullable") {
            causes.push(Cause::forbidden(
                format!("{field}.nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ));
        }
    }
}

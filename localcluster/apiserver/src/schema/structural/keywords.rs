//! Which keywords a schema may have, and with which values, beyond the form of a structural schema.

use serde_json::{Value, json};

use super::kind::must_have_type;
use super::lists;
use super::node::Node;
use crate::status::Cause;

/// Values of `type`.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Fields that every object has, whatever its schema says.
const IDENTITY: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// The rules for a part of a schema that depend on where it stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    root: bool,
    /// Why `default` must not be set, if so.
    no_default: Option<&'static str>,
    inside_metadata: bool,
}

impl Context {
    pub(super) const ROOT: Self = Self {
        root: true,
        no_default: None,
        inside_metadata: false,
    };

    fn inner(self) -> Self {
        Self {
            root: false,
            ..self
        }
    }
}

/// Checks the keywords of a schema and of all schemas in it.
pub(super) fn check(schema: Node<'_>, path: &str, context: Context, causes: &mut Vec<Cause>) {
    unsupported(schema, path, context, causes);
    if schema.flag("uniqueItems") {
        causes.push(Cause::forbidden(
            format!("{path}.uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    let inner = context.inner();
    if let Some(additional) = schema.get("additionalProperties") {
        let path = format!("{path}.additionalProperties");
        if schema.filled("properties") && *additional != true {
            causes.push(Cause::forbidden(
                &path,
                "additionalProperties and properties are mutual exclusive",
            ));
        }
        if additional.is_object() {
            let mut inner = inner;
            if inner.inside_metadata {
                inner.no_default = Some("inside additionalProperties applying to object metadata");
            }
            check(Node(additional), &path, inner, causes);
        }
    }
    for (name, path, property) in schema.properties(path) {
        let embedded = schema.flag("x-kubernetes-embedded-resource");
        let mut inner = inner;
        if (context.root || embedded) && IDENTITY.contains(&name) {
            inner.inside_metadata = true;
            if context.root {
                inner.no_default = Some(match name {
                    "metadata" => "in top-level metadata",
                    "kind" => "in top-level kind",
                    _ => "in top-level apiVersion",
                });
            }
        }
        check(property, &path, inner, causes);
    }
    for key in ["not", "items"] {
        if let Some(only) = schema.schema(key) {
            check(only, &format!("{path}.{key}"), inner, causes);
        }
    }
    for key in ["allOf", "oneOf", "anyOf", "items"] {
        for (path, each) in schema.schemas(key, path) {
            check(each, &path, inner, causes);
        }
    }
    for key in ["definitions", "dependencies"] {
        let named = schema.get(key).and_then(Value::as_object);
        for (name, each) in named.into_iter().flatten() {
            if each.is_object() {
                check(Node(each), &format!("{path}.{key}[{name}]"), inner, causes);
            }
        }
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(false)) {
        causes.push(Cause::invalid(
            format!("{path}.x-kubernetes-preserve-unknown-fields"),
            &json!(false),
            "must be true or undefined",
        ));
    }
    map_type(schema, path, causes);
    lists::check(schema, path, causes);
}

fn unsupported(schema: Node<'_>, path: &str, context: Context, causes: &mut Vec<Cause>) {
    let kind = schema.kind();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        causes.push(Cause::not_supported(
            format!("{path}.type"),
            &kind.into(),
            &TYPES,
        ));
    }
    let mut forbid = |key: &str, detail: &str| {
        causes.push(Cause::forbidden(format!("{path}.{key}"), detail));
    };
    if let Some(why) = context.no_default
        && schema.get("default").is_some()
    {
        forbid("default", &format!("must not be set {why}"));
    }
    for key in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        let set = match key {
            "id" => !schema.text(key).is_empty(),
            "patternProperties" | "definitions" => schema.filled(key),
            _ => schema.get(key).is_some(),
        };
        if set {
            forbid(key, &format!("{key} is not supported"));
        }
    }
    if kind == "null" {
        forbid(
            "type",
            "type cannot be set to null, use nullable as an alternative",
        );
    }
    if schema.list("items").next().is_some() {
        forbid("items", "items must be a schema object and not an array");
    }
    if context.inside_metadata && schema.flag("x-kubernetes-embedded-resource") {
        forbid(
            "x-kubernetes-embedded-resource",
            "must not be used inside of resource meta",
        );
    }
}

fn map_type(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    let Some(map_type) = schema.get("x-kubernetes-map-type") else {
        return;
    };
    must_have_type(schema, "object", "x-kubernetes-map-type", path, causes);
    if map_type != "atomic" && map_type != "granular" {
        causes.push(Cause::not_supported(
            format!("{path}.x-kubernetes-map-type"),
            map_type,
            &["atomic", "granular"],
        ));
    }
}

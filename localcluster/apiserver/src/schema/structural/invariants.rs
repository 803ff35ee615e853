//! The form of a structural schema: each value has one type, said outside of `allOf`, `anyOf`, `oneOf` and
//! `not`, which may only narrow it.

use regex::Regex;

use super::node::Node;
use crate::status::Cause;

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything that keeps the schema from being structural, sorted by text.
pub(super) fn check(schema: Node<'_>, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    node(schema, Level::Root, path, &mut causes);
    complete_junctors(schema, Some(schema), path, path, &mut causes);
    causes.sort_by_cached_key(|cause| format!("{}: {}", cause.field, cause.message));
    causes
}

fn node(schema: Node<'_>, level: Level, path: &str, causes: &mut Vec<Cause>) {
    let kind = schema.kind();
    let embedded = schema.flag("x-kubernetes-embedded-resource");
    let preserving = schema.flag("x-kubernetes-preserve-unknown-fields");
    if kind == "array" && schema.get("items").is_none() {
        causes.push(Cause::required(
            format!("{path}.items"),
            "must be specified",
        ));
    }
    if let Some(item) = schema.schema("items") {
        node(item, Level::Item, &format!("{path}.items"), causes);
    }
    for (_, path, property) in schema.properties(path) {
        node(property, Level::Field, &path, causes);
    }
    if schema.get("additionalProperties").is_some() {
        let path = format!("{path}.additionalProperties");
        if level == Level::Root {
            causes.push(Cause::forbidden(&path, "must not be used at the root"));
        }
        if embedded {
            causes.push(Cause::forbidden(
                &path,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
        if let Some(additional) = schema.schema("additionalProperties") {
            node(additional, Level::Field, &path, causes);
        }
    }
    extensions(schema, path, causes);
    let skip = Skip {
        any_of: schema.is_int_or_string("anyOf"),
        any_of_in_first: schema
            .list("allOf")
            .next()
            .is_some_and(|first| Node(first).is_int_or_string("anyOf")),
    };
    junctors(schema, skip, path, causes);
    types(schema, level, path, causes);
    identity(schema, level, path, causes);
    if embedded && !preserving && !schema.filled("properties") {
        causes.push(Cause::required(
            format!("{path}.properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ));
    }
}

fn extensions(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    if !schema.flag("x-kubernetes-int-or-string") {
        return;
    }
    for key in [
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
    ] {
        if schema.flag(key) {
            causes.push(Cause::invalid(
                format!("{path}.{key}"),
                &true.into(),
                "must be false if x-kubernetes-int-or-string is true",
            ));
        }
    }
}

fn types(schema: Node<'_>, level: Level, path: &str, causes: &mut Vec<Cause>) {
    let kind = schema.kind();
    let field = format!("{path}.type");
    let mut must_be = |detail: &str| {
        causes.push(if kind.is_empty() {
            Cause::required(&field, detail)
        } else {
            Cause::invalid(&field, &kind.into(), detail)
        });
    };
    if schema.flag("x-kubernetes-embedded-resource") {
        if kind != "object" {
            must_be("must be object if x-kubernetes-embedded-resource is true");
        }
    } else if kind.is_empty()
        && !schema.flag("x-kubernetes-int-or-string")
        && !schema.flag("x-kubernetes-preserve-unknown-fields")
    {
        must_be(match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        });
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        must_be("must be object at the root");
    }
}

/// Checks what a schema says about `kind`, `apiVersion` and `metadata`, which every object has anyway.
fn identity(schema: Node<'_>, level: Level, path: &str, causes: &mut Vec<Cause>) {
    let is_object = level == Level::Root || schema.flag("x-kubernetes-embedded-resource");
    let mut typed = |name: &str, wanted: &str| {
        if let Some(property) = schema.property(name)
            && is_object
            && property.kind() != wanted
        {
            causes.push(Cause::invalid(
                format!("{path}.properties[{name}].type"),
                &property.kind().into(),
                &format!("must be {wanted}"),
            ));
        }
    };
    typed("kind", "string");
    typed("apiVersion", "string");
    typed("metadata", "object");
    let says_more = |metadata: Node<'_>| {
        let names_only = metadata
            .properties("")
            .all(|(name, ..)| name == "name" || name == "generateName");
        metadata.keywords().any(|key| match key {
            "type" | "default" => false,
            "properties" => !names_only,
            _ => true,
        })
    };
    if level == Level::Root && schema.property("metadata").is_some_and(says_more) {
        causes.push(Cause::forbidden(
            format!("{path}.properties[metadata]"),
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ));
    }
}

/// The places where `anyOf` may say once more that the value is an integer or a string.
#[derive(Debug, Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    any_of_in_first: bool,
}

fn junctors(schema: Node<'_>, skip: Skip, path: &str, causes: &mut Vec<Cause>) {
    if !skip.any_of {
        for (path, inner) in schema.schemas("anyOf", path) {
            nested(inner, Skip::default(), &path, causes);
        }
    }
    for (index, (path, inner)) in schema.schemas("allOf", path).enumerate() {
        let skip = Skip {
            any_of: skip.any_of_in_first && index == 0,
            any_of_in_first: false,
        };
        nested(inner, skip, &path, causes);
    }
    for (path, inner) in schema.schemas("oneOf", path) {
        nested(inner, Skip::default(), &path, causes);
    }
    if let Some(inner) = schema.schema("not") {
        nested(inner, Skip::default(), &format!("{path}.not"), causes);
    }
    let pattern = schema.text("pattern");
    if let Err(error) = Regex::new(pattern) {
        causes.push(Cause::invalid(
            format!("{path}.pattern"),
            &pattern.into(),
            &format!("must be a valid regular expression, but isn't: {error}"),
        ));
    }
}

/// Keywords that only the structure itself may have, with the value that they must keep elsewhere.
const STRUCTURE: [(&str, &str); 11] = [
    ("type", "empty"),
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("x-kubernetes-preserve-unknown-fields", "false"),
    ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"),
];

/// Checks a schema inside `allOf`, `anyOf`, `oneOf` or `not`.
fn nested(schema: Node<'_>, skip: Skip, path: &str, causes: &mut Vec<Cause>) {
    junctors(schema, skip, path, causes);
    if let Some(item) = schema.schema("items") {
        nested(item, Skip::default(), &format!("{path}.items"), causes);
    }
    for (name, path, property) in schema.properties(path) {
        nested(property, Skip::default(), &path, causes);
        if name == "metadata" {
            causes.push(Cause::forbidden(
                path,
                "must not be specified in a nested context",
            ));
        }
    }
    let mut forbid = |key: &str, must: &str| {
        causes.push(Cause::forbidden(
            format!("{path}.{key}"),
            &format!("must be {must} to be structural"),
        ));
    };
    for (key, must) in STRUCTURE {
        let set = match must {
            "false" => schema.flag(key),
            "empty" => schema.get(key).is_some_and(|value| value != "") && schema.filled(key),
            _ => schema.get(key).is_some(),
        };
        if set {
            forbid(key, must);
        }
    }
    if schema.filled("x-kubernetes-validations") {
        forbid("x-kubernetes-validations", "empty");
    }
    if schema
        .get("additionalProperties")
        .is_some_and(|value| *value != false)
    {
        forbid("additionalProperties", "undefined");
    }
}

/// Checks that each value that the root's junctors speak of is there in the structure.
fn complete_junctors(
    schema: Node<'_>,
    structure: Option<Node<'_>>,
    structure_path: &str,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let mut each = |path: &str, inner: Node<'_>| {
        complete(inner, structure, structure_path, path, causes);
    };
    if let Some(inner) = schema.schema("not") {
        each(&format!("{path}.not"), inner);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (path, inner) in schema.schemas(key, path) {
            each(&path, inner);
        }
    }
}

fn complete(
    schema: Node<'_>,
    structure: Option<Node<'_>>,
    structure_path: &str,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let missing = |structure_path: &str, path: &str| {
        Cause::required(structure_path, &format!("because it is defined in {path}"))
    };
    let Some(structure) = structure else {
        causes.push(missing(structure_path, path));
        return;
    };
    complete_junctors(schema, Some(structure), structure_path, path, causes);
    if let Some(item) = schema.schema("items") {
        let (inner, path) = (structure.schema("items"), format!("{path}.items"));
        complete(
            item,
            inner,
            &format!("{structure_path}.items"),
            &path,
            causes,
        );
    }
    for (name, path, property) in schema.properties(path) {
        let structure_path = format!("{structure_path}.properties[{name}]");
        match structure.property(name) {
            None => causes.push(missing(&structure_path, &path)),
            inner => complete(property, inner, &structure_path, &path, causes),
        }
    }
}

//! Schemas of CustomResourceDefinitions: what keeps one from being accepted. Wording and order follow upstream.
//!
//! Differences from upstream:
//! - A default of an integer-or-string must be one. Upstream refuses it only when an object has it.
//! - A default that is not of its type is named by the type also where upstream names the format.
//! - A default inside the metadata of an embedded object is not decoded.
//! - Regular expressions are those of the crate `regex`, which lacks `\Q` and words its errors differently.

mod defaults;
mod invariants;
mod keywords;
mod kind;
mod lists;
mod node;

use serde_json::Value;

use crate::schema::formats;
use crate::status::Cause;
use node::Node;

/// Most bytes that the paths of a schema may have together. Every cause names one of them.
const MAX_PATHS: usize = 8 * 1024 * 1024;

/// Keywords that the root may have when `status` is written apart, in upstream's words.
const ROOT_KEYWORDS: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    (
        "x-kubernetes-preserve-unknown-fields",
        "XPreserveUnknownFields",
    ),
    ("x-kubernetes-validations", "XValidations"),
];

/// Everything that keeps the schema at `path` from being accepted. `status` says whether the version has
/// the status subresource.
pub(crate) fn check(schema: &Value, path: &str, status: bool) -> Vec<Cause> {
    if path_bytes(schema, path.len()) > MAX_PATHS {
        return vec![Cause::forbidden(
            path,
            "has too many fields with long names",
        )];
    }
    let schema = Node(schema);
    let mut causes = Vec::new();
    if status {
        root_with_status(schema, path, &mut causes);
    }
    if schema.flag("nullable") {
        causes.push(Cause::forbidden(
            format!("{path}.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let unsupported = unsupported(schema.0);
    if unsupported.is_none() {
        let mut wrong = invariants::check(schema, path);
        if wrong.is_empty() {
            wrong = defaults::check(schema, path);
        }
        causes.append(&mut wrong);
    }
    keywords::check(schema, path, keywords::Context::ROOT, &mut causes);
    if let Some(detail) = unsupported.filter(|_| causes.is_empty()) {
        causes.push(Cause::invalid(path, &"".into(), &detail));
    }
    causes
}

/// Length of the paths of all parts of a schema together.
fn path_bytes(schema: &Value, own: usize) -> usize {
    match schema {
        Value::Object(fields) => {
            let inner = fields
                .iter()
                .map(|(name, value)| path_bytes(value, own + name.len()));
            own + inner.sum::<usize>()
        }
        Value::Array(items) => {
            own + items
                .iter()
                .map(|item| path_bytes(item, own))
                .sum::<usize>()
        }
        _ => 0,
    }
}

/// Rules of the root are not applied to a status that is written apart, so that most are refused there.
fn root_with_status(schema: Node<'_>, path: &str, causes: &mut Vec<Cause>) {
    if schema.kind() != "object" && !schema.kind().is_empty() {
        causes.push(Cause::invalid(
            format!("{path}.type"),
            &schema.kind().into(),
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled",
        ));
        return;
    }
    let allowed = |key: &str| ROOT_KEYWORDS.iter().any(|(known, _)| *known == key);
    if !schema.keywords().all(allowed) {
        let names: Vec<&str> = ROOT_KEYWORDS.iter().map(|(_, name)| *name).collect();
        let names = names.join(" ");
        causes.push(Cause::invalid(
            path,
            schema.0,
            &format!(
                "only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
            ),
        ));
    }
}

/// The first keyword somewhere in the schema that keeps it from being read as a structural one.
fn unsupported(schema: &Value) -> Option<String> {
    let node = Node(schema);
    let named = |key: &str| Some(format!("OpenAPIV3Schema '{key}' is not supported"));
    for (key, name) in [("id", "id"), ("$schema", "schema"), ("$ref", "$ref")] {
        if !node.text(key).is_empty() {
            return named(name);
        }
    }
    for key in ["patternProperties", "dependencies", "definitions"] {
        if node.filled(key) {
            return named(key);
        }
    }
    if node.get("additionalItems").is_some() {
        return named("additionalItems");
    }
    if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some(
            "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
                .to_owned(),
        );
    }
    if node.list("items").next().is_some() {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    children(node).find_map(|child| unsupported(child.0))
}

/// The schemas right inside a schema.
fn children(schema: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    let one = ["items", "additionalProperties", "not"];
    let many = ["allOf", "anyOf", "oneOf"];
    let one = one.into_iter().filter_map(move |key| schema.schema(key));
    let many = many
        .into_iter()
        .flat_map(move |key| schema.list(key).map(Node));
    let properties = schema.get("properties").and_then(Value::as_object);
    one.chain(many).chain(
        properties
            .into_iter()
            .flatten()
            .map(|(_, child)| Node(child)),
    )
}

/// The formats of strings in a schema that are not known, which are stored but not checked.
pub(crate) fn unrecognized_formats(schema: &Value) -> Vec<String> {
    let node = Node(schema);
    let format = node.text("format");
    let mut found = Vec::new();
    if node.kind() == "string" && !format.is_empty() && !formats::is_known(format) {
        found.push(format.to_owned());
    }
    found.extend(children(node).flat_map(|child| unrecognized_formats(child.0)));
    found
}

/// Returns whether some schema in a schema has a default.
pub(crate) fn has_defaults(schema: &Value) -> bool {
    let node = Node(schema);
    node.get("default").is_some() || children(node).any(|child| has_defaults(child.0))
}

//! Defaults, each of which must be a value that the server would store.

use super::node::Node;
use crate::schema::{Schema, conform, embedded, validate};
use crate::status::Cause;

/// Checks every default of a schema that is structural.
pub(super) fn check(schema: Node<'_>, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    // Regular expressions have been checked, and nothing else keeps a schema from being compiled.
    if let Ok(mut compiled) = Schema::compile(schema.0) {
        compiled.embedded = true;
        node(&compiled, false, path, &mut causes);
    }
    causes
}

fn node(schema: &Schema, inside_metadata: bool, path: &str, causes: &mut Vec<Cause>) {
    let inside_metadata = inside_metadata && !schema.embedded;
    if let Some(default) = &schema.default {
        let path = format!("{path}.default");
        let mut pruned = default.clone();
        conform::prune_part(schema, &mut pruned, schema.embedded);
        if !inside_metadata && pruned != *default {
            causes.push(Cause::invalid(
                &path,
                default,
                "must not have unknown fields",
            ));
        }
        let mut wrong = if inside_metadata {
            Vec::new()
        } else {
            embedded::check(schema, default, &path)
        };
        if wrong.is_empty() {
            wrong = validate::values(schema, default, "");
            for cause in &mut wrong {
                cause.field = under(&path, &cause.field);
            }
        }
        causes.append(&mut wrong);
    }
    if let Some(items) = &schema.items {
        let path = format!("{path}.items");
        node(items, inside_metadata, &path, causes);
    }
    for (name, property) in &schema.properties {
        let identity = matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        let inside_metadata = inside_metadata || schema.embedded && identity;
        let path = format!("{path}.properties[{name}]");
        node(property, inside_metadata, &path, causes);
    }
}

/// The path of a field of a default.
fn under(path: &str, field: &str) -> String {
    if field.is_empty() {
        path.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

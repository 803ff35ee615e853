//! What a CustomResourceDefinition's schema must be like: structural, as upstream defines it.

use serde_json::Value;

use crate::api::Cause;

/// Keywords that a structural schema cannot have.
const FORBIDDEN: [&str; 7] = [
    "$ref",
    "$schema",
    "id",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
];

/// Everything that keeps the schema at `path` from being structural.
pub(crate) fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if schema["type"] != "object" {
        causes.push(Cause::invalid(
            format!("{path}.type"),
            &schema["type"],
            "must be object at the root",
        ));
    }
    node(schema, path, &mut causes);
    causes
}

fn node(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(keywords) = schema.as_object() else {
        causes.push(Cause::invalid(path, schema, "must be an object"));
        return;
    };
    for keyword in FORBIDDEN
        .iter()
        .filter(|keyword| keywords.contains_key(**keyword))
    {
        causes.push(Cause::forbidden(
            format!("{path}.{keyword}"),
            &format!("{keyword} is not supported"),
        ));
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    let flag = |key: &str| schema[key] == true;
    let typeless =
        flag("x-kubernetes-int-or-string") || flag("x-kubernetes-preserve-unknown-fields");
    match kind {
        "" if !typeless => {
            causes.push(Cause::required(
                format!("{path}.type"),
                "must not be empty for specified object fields",
            ));
        }
        "array" if schema.get("items").is_none() => {
            causes.push(Cause::required(
                format!("{path}.items"),
                "must be specified",
            ));
        }
        "" | "array" | "object" | "string" | "integer" | "number" | "boolean" => {}
        _ => causes.push(Cause::not_supported(
            format!("{path}.type"),
            &schema["type"],
            &["array", "boolean", "integer", "number", "object", "string"],
        )),
    }
    if schema["x-kubernetes-list-type"] == "map"
        && schema["x-kubernetes-list-map-keys"]
            .as_array()
            .is_none_or(Vec::is_empty)
    {
        causes.push(Cause::required(
            format!("{path}.x-kubernetes-list-map-keys"),
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    if schema.get("additionalProperties").is_some() && schema.get("properties").is_some() {
        causes.push(Cause::forbidden(
            format!("{path}.additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = regex::Regex::new(pattern)
    {
        causes.push(Cause::invalid(
            format!("{path}.pattern"),
            &schema["pattern"],
            &format!("must be a valid regular expression, but isn't: {error}"),
        ));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        node(property, &format!("{path}.properties[{name}]"), causes);
    }
    for key in ["additionalProperties", "items"] {
        if schema[key].is_object() {
            node(&schema[key], &format!("{path}.{key}"), causes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_structural_is_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {},
                "b": { "type": "array" },
                "c": { "type": "string", "pattern": "(" },
                "d": { "$ref": "#/x", "type": "object" },
                "e": { "x-kubernetes-int-or-string": true },
            },
        });
        let fields: Vec<String> = check(&schema, "s")
            .into_iter()
            .map(|cause| cause.field)
            .collect();
        assert_eq!(
            fields,
            [
                "s.properties[a].type",
                "s.properties[b].items",
                "s.properties[c].pattern",
                "s.properties[d].$ref"
            ]
        );
    }
}

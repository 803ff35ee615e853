//! Value validations of a schema node, compiled.

use regex::Regex;
use serde_json::Value;

use super::Schema;

/// What a schema node demands of a value beyond its type.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) required: Vec<String>,
    pub(super) one_of_values: Vec<Value>,
    pub(super) pattern: Option<Regex>,
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) length: Range,
    pub(super) items: Range,
    pub(super) properties: Range,
    pub(super) unique: bool,
    pub(super) all_of: Vec<Schema>,
    pub(super) any_of: Vec<Schema>,
    pub(super) one_of: Vec<Schema>,
    pub(super) not: Option<Box<Schema>>,
}

/// A limit of a number.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) limit: f64,
    /// As it stands in the schema, for messages.
    pub(super) shown: String,
    pub(super) exclusive: bool,
}

/// Limits of a count.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

impl Rules {
    /// Compiles the validations of a node, `None` when there are none.
    pub(super) fn compile(source: &Value) -> Result<Option<Self>, String> {
        const KEYWORDS: [&str; 19] = [
            "required",
            "enum",
            "pattern",
            "minimum",
            "maximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "exclusiveMinimum",
            "exclusiveMaximum",
        ];
        if !KEYWORDS.iter().any(|keyword| source.get(keyword).is_some()) {
            return Ok(None);
        }
        let list = |key: &str| source[key].as_array().cloned().unwrap_or_default();
        let schemas = |key: &str| -> Result<Vec<Schema>, String> {
            list(key).iter().map(Schema::compile).collect()
        };
        let range = |min: &str, max: &str| Range {
            min: source[min].as_u64(),
            max: source[max].as_u64(),
        };
        let bound = |limit: &str, exclusive: &str| {
            source[limit].as_f64().map(|value| Bound {
                limit: value,
                shown: source[limit].to_string(),
                exclusive: source[exclusive] == true,
            })
        };
        let pattern = source["pattern"]
            .as_str()
            .map(|pattern| {
                Regex::new(pattern).map_err(|error| format!("pattern {pattern:?}: {error}"))
            })
            .transpose()?;
        let not = match &source["not"] {
            Value::Null => None,
            schema => Some(Box::new(Schema::compile(schema)?)),
        };
        Ok(Some(Self {
            required: list("required")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            one_of_values: list("enum"),
            pattern,
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: source["multipleOf"].as_f64(),
            length: range("minLength", "maxLength"),
            items: range("minItems", "maxItems"),
            properties: range("minProperties", "maxProperties"),
            unique: source["uniqueItems"] == true,
            all_of: schemas("allOf")?,
            any_of: schemas("anyOf")?,
            one_of: schemas("oneOf")?,
            not,
        }))
    }
}

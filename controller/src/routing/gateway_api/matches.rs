//! From Istio's match conditions, in which Canaries are written, to those of the Gateway API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::unmappable::Unmappable;
use crate::api::ServiceSpec;

/// The conditions of the canary's rule. Without any it takes every request (Flagger).
///
/// Flagger passes over what the Gateway API has no word for, and the route then takes requests that it was not meant
/// for. Here it is a problem.
pub(super) fn matches(spec: &ServiceSpec, problems: &mut Vec<Unmappable>) -> Vec<Value> {
    let given = spec.match_.iter().flatten().enumerate();
    let mut matches: Vec<Value> = given
        .map(|(index, given)| one(given, &format!("match[{index}]"), problems))
        .collect();
    if matches.is_empty() {
        matches.push(json!({ "path": everything() }));
    }
    matches
}

fn everything() -> Value {
    json!({ "type": "PathPrefix", "value": "/" })
}

fn one(given: &Value, field: &str, problems: &mut Vec<Unmappable>) -> Value {
    let mut mapped = Map::from_iter([("path".to_owned(), everything())]);
    for (name, condition) in given.as_object().into_iter().flatten() {
        const BY_NAME: &str = "it is matched by exact or regex";
        let (target, value, why) = match name.as_str() {
            "uri" => (
                "path",
                path(condition),
                "a path is matched by exact, prefix or regex",
            ),
            "method" => (
                "method",
                condition["exact"].as_str().map(Value::from),
                "a method is matched by exact",
            ),
            "headers" | "queryParams" => (name.as_str(), named(condition), BY_NAME),
            // A label of Istio's for people and statistics.
            "name" => continue,
            "ignoreUriCase" if condition == false => continue,
            _ => (name.as_str(), None, "there is no such condition"),
        };
        match value {
            Some(value) => drop(mapped.insert(target.to_owned(), value)),
            None => problems.push(Unmappable::new(format!("{field}.{name}"), why)),
        }
    }
    Value::Object(mapped)
}

/// Flagger: a regular expression before an exact path, and that before a prefix.
fn path(condition: &Value) -> Option<Value> {
    let of = |kind: &str, field: &str| {
        let value = condition[field].as_str().filter(|text| !text.is_empty())?;
        Some(json!({ "type": kind, "value": value }))
    };
    of("RegularExpression", "regex")
        .or_else(|| of("Exact", "exact"))
        .or_else(|| of("PathPrefix", "prefix"))
}

/// Conditions by name, in the order of the names.
fn named(conditions: &Value) -> Option<Value> {
    let conditions: BTreeMap<_, _> = conditions.as_object()?.iter().collect();
    let one = |(name, condition): (&String, &Value)| {
        let of = |kind: &str, field: &str| {
            let value = condition[field].as_str().filter(|text| !text.is_empty())?;
            Some(json!({ "type": kind, "name": name, "value": value }))
        };
        of("Exact", "exact").or_else(|| of("RegularExpression", "regex"))
    };
    conditions.into_iter().map(one).collect()
}

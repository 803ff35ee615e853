//! Converts match conditions from Istio's syntax, which Canaries use, to that of the Gateway API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::unmappable::Unmappable;
use crate::api::ServiceSpec;

/// The match conditions of the canary's rule. Flagger: without conditions, it matches all requests.
///
/// Flagger ignores conditions that the Gateway API cannot express, so the route matches unintended requests. This
/// controller reports them as problems.
pub(super) fn matches(spec: &ServiceSpec, problems: &mut Vec<Unmappable>) -> Vec<Value> {
    let given = spec.match_.iter().flatten().enumerate();
    let mut matches: Vec<Value> = given
        .map(|(index, given)| one(given, &format!("match[{index}]"), problems))
        .collect();
    if matches.is_empty() {
        matches.push(json!({ "path": all_paths() }));
    }
    matches
}

fn all_paths() -> Value {
    json!({ "type": "PathPrefix", "value": "/" })
}

fn one(given: &Value, field: &str, problems: &mut Vec<Unmappable>) -> Value {
    let mut mapped = Map::from_iter([("path".to_owned(), all_paths())]);
    for (name, condition) in given.as_object().into_iter().flatten() {
        const BY_NAME: &str = "only exact and regex are supported";
        let (target, value, why) = match name.as_str() {
            "uri" => (
                "path",
                path(condition),
                "only exact, prefix and regex are supported",
            ),
            "method" => (
                "method",
                condition["exact"].as_str().map(Value::from),
                "only exact is supported",
            ),
            "headers" | "queryParams" => (name.as_str(), named(condition), BY_NAME),
            // Istio uses the name only in logs and statistics.
            "name" => continue,
            "ignoreUriCase" if condition == false => continue,
            _ => (name.as_str(), None, "the Gateway API has no such condition"),
        };
        match value {
            Some(value) => drop(mapped.insert(target.to_owned(), value)),
            None => problems.push(Unmappable::new(format!("{field}.{name}"), why)),
        }
    }
    Value::Object(mapped)
}

/// Flagger: `regex` takes precedence over `exact`, and `exact` over `prefix`.
fn path(condition: &Value) -> Option<Value> {
    let of = |kind: &str, field: &str| {
        let value = condition[field].as_str().filter(|text| !text.is_empty())?;
        Some(json!({ "type": kind, "value": value }))
    };
    of("RegularExpression", "regex")
        .or_else(|| of("Exact", "exact"))
        .or_else(|| of("PathPrefix", "prefix"))
}

/// Conditions on headers or query parameters, sorted by name.
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

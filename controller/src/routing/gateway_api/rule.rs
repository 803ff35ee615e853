//! The canary's rule for `spec.service`, without backends and weights.

use serde_json::{Map, Value, json};

use super::{filters::filters, matches::matches, unmappable::Unmappable};
use crate::{api::ServiceSpec, objects::json::set_or_remove, release::duration::parse};

/// The canary's rule, without backends and weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rule {
    matches: Vec<Value>,
    filters: Vec<Value>,
    timeouts: Map<String, Value>,
}

impl Rule {
    /// Converts `spec` to a rule.
    ///
    /// # Errors
    /// Returns everything in `spec` that an HTTPRoute cannot express.
    pub(super) fn of(spec: &ServiceSpec) -> Result<Rule, Vec<Unmappable>> {
        let mut problems = Vec::new();
        let rule = Rule {
            matches: matches(spec, &mut problems),
            filters: filters(spec, &mut problems),
            timeouts: timeouts(spec, &mut problems),
        };
        if problems.is_empty() {
            Ok(rule)
        } else {
            Err(problems)
        }
    }

    /// Writes the fields into a rule of an HTTPRoute. Other fields of the rule are kept.
    pub(super) fn write_to(&self, rule: &mut Map<String, Value>) {
        rule.insert("matches".to_owned(), json!(self.matches));
        let filters = Some(&self.filters).filter(|filters| !filters.is_empty());
        set_or_remove(rule, "filters", filters.map(|filters| json!(filters)));
        let timeouts = Some(&self.timeouts).filter(|timeouts| !timeouts.is_empty());
        set_or_remove(rule, "timeouts", timeouts.map(|timeouts| json!(timeouts)));
    }
}

fn timeouts(spec: &ServiceSpec, problems: &mut Vec<Unmappable>) -> Map<String, Value> {
    let mut timeouts = Map::new();
    for (field, text, name) in [
        ("timeout", &spec.timeout, "request"),
        ("backendTimeout", &spec.backend_timeout, "backendRequest"),
    ] {
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else {
            continue;
        };
        if parse(text).is_none() {
            let why = format!("\"{text}\" is not a duration such as 5s or 1m30s");
            problems.push(Unmappable::new(field, why));
        }
        timeouts.insert(name.to_owned(), json!(text));
    }
    timeouts
}

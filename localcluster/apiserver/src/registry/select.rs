//! Label and field selectors of lists and watches.

use serde_json::Value;

use super::Kind;
use crate::status::ApiError;

/// What a list or watch selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: Vec<LabelRequirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    test: LabelTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelTest {
    /// The label has one of the values.
    In(Vec<String>),
    /// The label is missing or has none of the values.
    NotIn(Vec<String>),
    Exists,
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldRequirement {
    path: String,
    equal: bool,
    value: String,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(labels: &str, fields: &str, kind: &Kind) -> Result<Self, ApiError> {
        let labels = parse_labels(labels).map_err(|reason| {
            ApiError::bad_request(format!("unable to parse requirement: {reason}"))
        })?;
        let fields = parse_fields(fields, kind)?;
        Ok(Self { labels, fields })
    }

    /// Selects nothing but the object called `name`.
    pub(crate) fn require_name(&mut self, name: &str) {
        self.fields.push(FieldRequirement {
            path: "metadata.name".to_owned(),
            equal: true,
            value: name.to_owned(),
        });
    }

    /// Returns whether an object is selected.
    pub(crate) fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.labels
            .iter()
            .all(|requirement| requirement.matches(object))
            && self
                .fields
                .iter()
                .all(|requirement| requirement.matches(kind, object))
    }

    /// Returns whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

impl LabelRequirement {
    fn matches(&self, object: &Value) -> bool {
        let value = object
            .get("metadata")
            .and_then(|metadata| metadata.get("labels"))
            .and_then(|labels| labels.get(&self.key))
            .and_then(Value::as_str);
        match (&self.test, value) {
            (LabelTest::In(values), Some(value)) => values.iter().any(|wanted| wanted == value),
            (LabelTest::NotIn(values), Some(value)) => values.iter().all(|wanted| wanted != value),
            (LabelTest::Exists, value) => value.is_some(),
            (LabelTest::Missing, value) => value.is_none(),
            (LabelTest::In(_), None) => false,
            (LabelTest::NotIn(_), None) => true,
        }
    }
}

impl FieldRequirement {
    fn matches(&self, kind: &Kind, object: &Value) -> bool {
        (field_text(kind, object, &self.path) == self.value) == self.equal
    }
}

/// The text that a field selector compares with.
fn field_text(kind: &Kind, object: &Value, path: &str) -> String {
    // Events have some fields under two names; they are stored under those of the core group.
    let path = match path {
        "reportingComponent" | "reportingController" => "reportingComponent",
        "source" => "source.component",
        other => other,
    };
    let path = path
        .strip_prefix("regarding.")
        .map_or_else(|| path.to_owned(), |rest| format!("involvedObject.{rest}"));
    let found = path
        .split('.')
        .try_fold(object, |value, key| value.get(key));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => default_text(kind, &path),
        Some(other) => other.to_string(),
    }
}

fn default_text(kind: &Kind, path: &str) -> String {
    let text = match (kind.plural.as_str(), path) {
        ("nodes", "spec.unschedulable") => "false",
        ("replicasets", "status.replicas") => "0",
        _ => "",
    };
    text.to_owned()
}

fn parse_fields(text: &str, kind: &Kind) -> Result<Vec<FieldRequirement>, ApiError> {
    let mut requirements = Vec::new();
    for term in text.split(',').filter(|term| !term.is_empty()) {
        let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
            (path, false, value)
        } else if let Some((path, value)) = term.split_once("==") {
            (path, true, value)
        } else if let Some((path, value)) = term.split_once('=') {
            (path, true, value)
        } else {
            return Err(ApiError::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{term}'"
            )));
        };
        let path = path.trim();
        let known = path == "metadata.name"
            || (path == "metadata.namespace" && kind.namespaced)
            || kind.selectable_fields().iter().any(|field| field == path);
        if !known {
            return Err(ApiError::bad_request(format!(
                "Unable to find \"{}, Resource={}\" that match label selector \"\", field selector \"{text}\": field label not supported: {path}",
                kind.api_version(),
                kind.plural
            )));
        }
        requirements.push(FieldRequirement {
            path: path.to_owned(),
            equal,
            value: value.trim().to_owned(),
        });
    }
    Ok(requirements)
}

fn parse_labels(text: &str) -> Result<Vec<LabelRequirement>, String> {
    split_outside_parentheses(text)
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(parse_label)
        .collect()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_label(term: &str) -> Result<LabelRequirement, String> {
    let (key, test) = if let Some(key) = term.strip_prefix('!') {
        (key, LabelTest::Missing)
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, LabelTest::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, LabelTest::In(vec![value.trim().to_owned()]))
    } else if let Some((left, values)) = term.split_once('(') {
        let values = values
            .strip_suffix(')')
            .ok_or_else(|| format!("missing ) in {term:?}"))?;
        let values = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        match left.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => (key, LabelTest::In(values)),
            Some((key, "notin")) => (key, LabelTest::NotIn(values)),
            _ => {
                return Err(format!(
                    "found {term:?}, expected in or notin before the values"
                ));
            }
        }
    } else {
        (term, LabelTest::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(format!("found {term:?}, expected a label key"));
    }
    Ok(LabelRequirement {
        key: key.to_owned(),
        test,
    })
}

/// Returns whether a label selector selects the labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &Value| key.as_str().and_then(|key| labels.get(key));
    let equal = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|expression| {
                let among = |value: &Value| {
                    expression["values"]
                        .as_array()
                        .is_some_and(|values| values.contains(value))
                };
                match (expression["operator"].as_str(), label(&expression["key"])) {
                    (Some("In"), value) => value.is_some_and(among),
                    (Some("NotIn"), value) => !value.is_some_and(among),
                    (Some("Exists"), value) => value.is_some(),
                    (Some("DoesNotExist"), value) => value.is_none(),
                    _ => false,
                }
            })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(selector: &str, labels: Value) -> bool {
        let object = json!({ "metadata": { "labels": labels } });
        parse_labels(selector)
            .unwrap()
            .iter()
            .all(|requirement| requirement.matches(&object))
    }

    #[test]
    fn label_selectors_mean_what_kubernetes_documents() {
        assert!(selects("a=1,b in (x, y)", json!({"a": "1", "b": "y"})));
        assert!(!selects("a=1,b in (x,y)", json!({"a": "1", "b": "z"})));
        assert!(selects("a!=1", json!({})));
        assert!(selects("a notin (1,2)", json!({"a": "3"})));
        assert!(!selects("a notin (1,2)", json!({"a": "2"})));
        assert!(selects("a,!b", json!({"a": ""})));
        assert!(!selects("!a", json!({"a": ""})));
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["a in x", "a in (x", "=1", "a b=1"] {
            assert!(parse_labels(selector).is_err(), "{selector}");
        }
    }
}

//! The rules of a definition, checked before it is stored.

use serde_json::Value;

use super::program::{self, Problem};
use crate::status::Cause;

const KEYWORD: &str = "x-kubernetes-validations";
/// Keywords whose schemas' rules are not evaluated.
const ALTERNATIVES: [&str; 4] = ["allOf", "anyOf", "oneOf", "not"];
/// Reasons that a rule can give.
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// The outcome of the check of a schema's rules.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Why the definition is refused.
    pub(crate) causes: Vec<Cause>,
    /// The rules that are stored and skipped, each with its path and why.
    pub(crate) skipped: Vec<String>,
}

/// Checks all rules of the schema at `path`.
pub(crate) fn report(schema: &Value, path: &str) -> Report {
    let mut report = Report::default();
    report.node(schema, path, None);
    report
}

impl Report {
    /// Checks a node. `uncorrelated` is the path of the list around it whose items have no identity.
    fn node(&mut self, schema: &Value, path: &str, uncorrelated: Option<&str>) {
        for (index, rule) in list(&schema[KEYWORD]).enumerate() {
            self.rule(
                schema,
                rule,
                &format!("{path}.{KEYWORD}[{index}]"),
                uncorrelated,
            );
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.node(
                property,
                &format!("{path}.properties[{name}]"),
                uncorrelated,
            );
        }
        let items = &schema["items"];
        if items.is_object() {
            let keyed = schema["x-kubernetes-list-type"] == "map";
            let around = uncorrelated.or((!keyed).then_some(path));
            self.node(items, &format!("{path}.items"), around);
        }
        let values = &schema["additionalProperties"];
        if values.is_object() {
            self.node(
                values,
                &format!("{path}.additionalProperties"),
                uncorrelated,
            );
        }
        for keyword in ALTERNATIVES
            .into_iter()
            .filter(|keyword| has_rules(&schema[*keyword]))
        {
            let why = "rules inside it are not evaluated by this server";
            self.skipped.push(format!("{path}.{keyword}: {why}"));
        }
    }

    fn rule(&mut self, schema: &Value, rule: &Value, path: &str, uncorrelated: Option<&str>) {
        let before = self.causes.len();
        stated(schema, rule, path, &mut self.causes);
        if self.causes.len() > before {
            return;
        }
        self.expression(rule, "messageExpression", path);
        let Some(uses_old) = self.expression(rule, "rule", path) else {
            return;
        };
        let mut invalid = |key: &str, detail: &str| {
            let field = format!("{path}.{key}");
            self.causes.push(Cause::invalid(field, &rule[key], detail));
        };
        match uncorrelated {
            Some(list) if uses_old => invalid(
                "rule",
                &format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                ),
            ),
            _ if !uses_old && !rule["optionalOldSelf"].is_null() => {
                invalid(
                    "optionalOldSelf",
                    "may not be set if oldSelf is not used in rule",
                );
            }
            _ => {}
        }
    }

    /// Checks an expression, if there is one. Says whether it reads `oldSelf`, if it can be evaluated.
    fn expression(&mut self, rule: &Value, key: &str, path: &str) -> Option<bool> {
        let source = rule[key].as_str().unwrap_or_default();
        if source.is_empty() {
            return None;
        }
        match &*program::compile(source) {
            Ok(program) => return Some(program.uses_old),
            Err(Problem::Invalid(why)) => self.causes.push(Cause::invalid(
                format!("{path}.{key}"),
                &rule[key],
                &format!("compilation failed: {why}"),
            )),
            Err(Problem::Unknown(names)) => self.skipped.push(format!(
                "{path}.{key}: not evaluated by this server, which does not have {names}"
            )),
        }
        None
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.contains_key(KEYWORD) || fields.values().any(has_rules),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

/// Checks what stands beside the expression.
fn stated(schema: &Value, declared: &Value, path: &str, causes: &mut Vec<Cause>) {
    let text = |key: &str| declared[key].as_str().unwrap_or_default();
    let at = |key: &str| format!("{path}.{key}");
    let broken = |text: &str| text.contains(['\n', '\r']);
    let (rule, message) = (text("rule").trim(), text("message").trim());
    let mut invalid = |key: &str, detail: &str| {
        causes.push(Cause::invalid(at(key), &declared[key], detail));
    };
    if !rule.is_empty() {
        if !text("message").is_empty() && message.is_empty() {
            invalid("message", "must be non-empty if specified");
        } else if broken(message) {
            invalid("message", "must not contain line breaks");
        }
    }
    let field_path = text("fieldPath");
    if broken(field_path) {
        invalid("fieldPath", "must not contain line breaks");
    }
    if !field_path.is_empty() && !leads_to_a_field(schema, field_path) {
        invalid("fieldPath", "must be a valid path");
    }
    if rule.is_empty() {
        causes.push(Cause::required(at("rule"), "rule is not specified"));
    } else if broken(rule) && message.is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        causes.push(Cause::required(at("message"), detail));
    }
    let expression = text("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        let detail = "messageExpression must be non-empty if specified";
        causes.push(Cause::required(at("messageExpression"), detail));
    }
    let reason = &declared["reason"];
    if !reason.is_null() && !REASONS.contains(&text("reason")) {
        causes.push(Cause::not_supported(at("reason"), reason, &REASONS));
    }
}

/// Returns whether a path such as `.spec.x` or `.labels['a']` leads to a field of the schema.
fn leads_to_a_field(mut schema: &Value, path: &str) -> bool {
    let mut rest = path;
    while !rest.is_empty() {
        let step = match rest.strip_prefix("['") {
            Some(quoted) => quoted.split_once("']"),
            None => rest
                .strip_prefix('.')
                .map(|plain| plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))),
        };
        let Some((name, tail)) = step else {
            return false;
        };
        let field = schema["properties"].get(name);
        let Some(inner) = field.or_else(|| schema.get("additionalProperties")) else {
            return false;
        };
        (schema, rest) = (inner, tail);
    }
    true
}

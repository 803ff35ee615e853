//! Validating a custom object against its structural schema. Wording follows upstream.

use std::collections::HashMap;

use serde_json::Value;

use super::rules::{Bound, Rules};
use super::{ListType, Schema, Type, formats};
use crate::status::Cause;

/// A value with so many faults is not checked further. Each cause can quote much of a schema.
const MAX_CAUSES: usize = 100;

/// Everything that is wrong with `value`, whose path is `path`.
pub(crate) fn validate(schema: &Schema, value: &Value, path: &str) -> Vec<Cause> {
    let mut causes = values(schema, value, path);
    check_lists(schema, value, path, &mut causes);
    causes
}

/// Everything that is wrong with `value` but items that a list has twice.
pub(super) fn values(schema: &Schema, value: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(schema, value, path, &mut causes);
    causes
}

fn check(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable || causes.len() >= MAX_CAUSES {
        return;
    }
    if let Err((wanted, found)) = check_type(schema, value) {
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        // As upstream, go on: other rules may say more.
        causes.push(Cause::wrong_type(path, found, &detail));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = schema.field(name) {
                    check(field, value, &join(path, name), causes);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                for (index, value) in items.iter().enumerate() {
                    check(item, value, &format!("{path}[{index}]"), causes);
                }
            }
        }
        Value::String(text) if !formats::fits(&schema.format, text) => {
            let detail = format!("{path} in body must be of type {}: {value}", schema.format);
            causes.push(Cause::wrong_type(path, text, &detail));
        }
        _ => {}
    }
    if let Some(rules) = &schema.rules {
        check_rules(rules, value, path, causes);
    }
}

fn check_rules(rules: &Rules, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if !rules.one_of_values.is_empty() && !rules.one_of_values.contains(value) {
        let supported: Vec<String> = rules
            .one_of_values
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .collect();
        causes.push(Cause::not_supported(path, value, &supported));
    }
    match value {
        Value::Object(fields) => {
            for name in rules
                .required
                .iter()
                .filter(|name| !fields.contains_key(*name))
            {
                causes.push(Cause::required(join(path, name), ""));
            }
            check_count(
                &rules.properties,
                fields.len(),
                "properties",
                value,
                path,
                causes,
            );
        }
        Value::Array(items) => check_count(&rules.items, items.len(), "items", value, path, causes),
        Value::String(text) => {
            check_count(
                &rules.length,
                text.chars().count(),
                "chars long",
                value,
                path,
                causes,
            );
            if let Some(pattern) = rules
                .pattern
                .as_ref()
                .filter(|pattern| !pattern.is_match(text))
            {
                let detail = format!("{path} in body should match '{pattern}'");
                causes.push(Cause::invalid(path, value, &detail));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            check_bounds(rules, number, value, path, causes);
        }
        _ => {}
    }
    check_junctors(rules, value, path, causes);
}

fn check_count(
    range: &super::rules::Range,
    count: usize,
    what: &str,
    value: &Value,
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let count = count as u64;
    let verb = if what == "chars long" { "be" } else { "have" };
    if let Some(min) = range.min.filter(|&min| count < min) {
        let counted = match value {
            Value::String(_) => value.clone(),
            _ => count.into(),
        };
        causes.push(Cause::invalid(
            path,
            &counted,
            &format!("{path} in body should {verb} at least {min} {what}"),
        ));
    }
    if let Some(max) = range.max.filter(|&max| count > max) {
        let (reason, message) = match value {
            Value::String(_) => (
                "FieldValueTooLong",
                format!(
                    "Too long: may not be more than {max} {}",
                    if max == 1 { "byte" } else { "bytes" }
                ),
            ),
            _ => (
                "FieldValueTooMany",
                format!(
                    "Too many: {count}: must have at most {max} {}",
                    if max == 1 { "item" } else { "items" }
                ),
            ),
        };
        causes.push(Cause {
            reason,
            field: path.to_owned(),
            message,
        });
    }
}

fn check_bounds(rules: &Rules, number: f64, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut complain = |detail: String| causes.push(Cause::invalid(path, value, &detail));
    let or_equal = |bound: &Bound| if bound.exclusive { "" } else { " or equal to" };
    if let Some(bound) = &rules.minimum
        && (number < bound.limit || (bound.exclusive && number <= bound.limit))
    {
        complain(format!(
            "{path} in body should be greater than{} {}",
            or_equal(bound),
            bound.shown
        ));
    }
    if let Some(bound) = &rules.maximum
        && (number > bound.limit || (bound.exclusive && number >= bound.limit))
    {
        complain(format!(
            "{path} in body should be less than{} {}",
            or_equal(bound),
            bound.shown
        ));
    }
    if let Some(factor) = rules
        .multiple_of
        .filter(|factor| (number / factor).fract() != 0.0)
    {
        complain(format!("{path} in body should be a multiple of {factor}"));
    }
}

fn check_junctors(rules: &Rules, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    // Each schema is checked once, so that nested ones do not multiply.
    let wrong = |schemas: &[Schema]| -> Vec<Vec<Cause>> {
        let each = schemas.iter().map(|schema| values(schema, value, path));
        each.collect()
    };
    let valid = |wrong: &[Vec<Cause>]| wrong.iter().filter(|wrong| wrong.is_empty()).count();
    let mut complain = |detail: &str, also: Option<Vec<Cause>>| {
        let detail = format!("\"{path}\" {detail}");
        causes.push(Cause::invalid(path, &"".into(), &detail));
        causes.extend(also.into_iter().flatten());
    };
    // Upstream adds the causes of the alternative of which most holds, often the first.
    let any_of = wrong(&rules.any_of);
    if !any_of.is_empty() && valid(&any_of) == 0 {
        complain(
            "must validate at least one schema (anyOf)",
            any_of.into_iter().next(),
        );
    }
    let one_of = wrong(&rules.one_of);
    match valid(&one_of) {
        1 => {}
        0 if one_of.is_empty() => {}
        0 => complain(
            "must validate one and only one schema (oneOf). Found none valid",
            one_of.into_iter().next(),
        ),
        count => complain(
            &format!(
                "must validate one and only one schema (oneOf). Found {count} valid alternatives"
            ),
            None,
        ),
    }
    if let Some(not) = &rules.not
        && values(not, value, path).is_empty()
    {
        complain("must not validate the schema (not)", None);
    }
    let all_of = wrong(&rules.all_of);
    match valid(&all_of) {
        all if all == all_of.len() => {}
        0 => complain(
            "must validate all the schemas (allOf). None validated",
            None,
        ),
        _ => complain("must validate all the schemas (allOf)", None),
    }
    causes.extend(all_of.into_iter().flatten());
}

/// Finds items that lists in `value` have twice although they may not.
fn check_lists(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = schema.field(name) {
                    check_lists(field, value, &join(path, name), causes);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = schema.item() {
                for (index, value) in items.iter().enumerate() {
                    check_lists(item, value, &format!("{path}[{index}]"), causes);
                }
            }
            check_unique(schema, items, path, causes);
        }
        _ => {}
    }
}

fn check_unique(schema: &Schema, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let identity = |item: &Value| match &schema.list {
        ListType::Map(keys) => {
            let item_schema = schema.item();
            let part = |key: &String| {
                let default = || item_schema?.field(key)?.default.clone();
                (
                    key.clone(),
                    item.get(key).cloned().or_else(default).unwrap_or_default(),
                )
            };
            Some(Value::Object(keys.iter().map(part).collect()))
        }
        ListType::Set => Some(item.clone()),
        ListType::Atomic if schema.rules.as_ref().is_some_and(|rules| rules.unique) => {
            Some(item.clone())
        }
        ListType::Atomic => None,
    };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else {
            continue;
        };
        let count = seen.entry(identity.to_string()).or_default();
        *count += 1;
        // The first of the repetitions stands for all.
        if *count == 2 {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &identity));
        }
    }
}

fn has_type(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        Type::Integer => is_integer(value),
        Type::IntOrString => value.is_string() || is_integer(value),
    }
}

/// JSON knows no integers: `3.0` is one.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Checks the type of a value; the error is the type that is wanted and the one that was found, in
/// upstream's words. A value that has the format of a string and is none is named by its own format.
fn check_type<'a>(schema: &'a Schema, value: &Value) -> Result<(), (&'a str, &'static str)> {
    if has_type(schema.kind, value) {
        return Ok(());
    }
    let formatted = schema.kind == Type::String && formats::is_known(&schema.format);
    match value {
        Value::Null => {}
        // Upstream takes a list for bytes here.
        Value::Array(_) if formatted => return Ok(()),
        Value::Number(_) if formatted && is_integer(value) => {
            return Err((&schema.format, "int64"));
        }
        Value::Number(_) if formatted => return Err((&schema.format, "float64")),
        _ if formatted => return Err((&schema.format, "")),
        _ => {}
    }
    Err((schema.kind.name(), type_name(value)))
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(schema: Value, value: Value) -> Vec<String> {
        validate(
            &Schema::compile(&schema).unwrap(),
            &json!({ "spec": value }),
            "",
        )
        .into_iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect()
    }

    fn of(property: Value, value: Value) -> Vec<String> {
        messages(
            json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": property}}}}),
            json!({ "x": value }),
        )
    }

    #[test]
    fn each_keyword_is_checked_and_named() {
        let cases = [
            (
                json!({"type": "integer"}),
                json!("1"),
                r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#,
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                r#"spec.x: Unsupported value: "c": supported values: "a", "b""#,
            ),
            (
                json!({"type": "string", "pattern": "^a+$"}),
                json!("b"),
                r#"spec.x: Invalid value: "b": spec.x in body should match '^a+$'"#,
            ),
            (
                json!({"type": "integer", "minimum": 1}),
                json!(0),
                "spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1",
            ),
            (
                json!({"type": "number", "maximum": 1, "exclusiveMaximum": true}),
                json!(1),
                "spec.x: Invalid value: 1: spec.x in body should be less than 1",
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("a"),
                r#"spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long"#,
            ),
            (
                json!({"type": "string", "maxLength": 1}),
                json!("ab"),
                "spec.x: Too long: may not be more than 1 byte",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                "spec.x: Too many: 2: must have at most 1 item",
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("now"),
                r#"spec.x: Invalid value: "now": spec.x in body must be of type date-time: "now""#,
            ),
            (
                json!({"type": "object", "required": ["y"]}),
                json!({}),
                "spec.x.y: Required value",
            ),
            (
                json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({"a": 1, "b": 1}),
                r#"spec.x: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ),
            (
                json!({"not": {"required": ["a"]}}),
                json!({"a": 1}),
                r#"spec.x: Invalid value: "": "spec.x" must not validate the schema (not)"#,
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object"}}),
                json!([{"n": "a"}, {"n": "a"}]),
                r#"spec.x[1]: Duplicate value: {"n":"a"}"#,
            ),
            (
                json!({"type": "string"}),
                Value::Null,
                r#"spec.x: Invalid value: "null": spec.x in body must be of type string: "null""#,
            ),
        ];
        for (schema, value, expected) in cases {
            assert_eq!(of(schema, value), [expected]);
        }
    }

    #[test]
    fn a_value_with_very_many_faults_is_not_checked_to_its_end() {
        let schema = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(of(schema, json!(vec![1; 1000])).len(), MAX_CAUSES);
    }

    #[test]
    fn the_first_of_several_alternatives_is_explained() {
        let schema = json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
        assert_eq!(
            of(schema, json!({})),
            [
                r#"spec.x: Invalid value: "": "spec.x" must validate at least one schema (anyOf)"#,
                "spec.x.a: Required value",
            ]
        );
    }

    #[test]
    fn good_values_pass() {
        for (schema, value) in [
            (json!({"type": "integer"}), json!(3.0)),
            (json!({"x-kubernetes-int-or-string": true}), json!("10%")),
            (json!({"type": "string", "nullable": true}), Value::Null),
            (
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                json!({"a": 1}),
            ),
            (json!({"type": "number", "multipleOf": 0.5}), json!(1.5)),
        ] {
            assert_eq!(of(schema, value), Vec::<String>::new());
        }
    }
}

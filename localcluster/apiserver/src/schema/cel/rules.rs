//! Evaluating the rules of a schema for an object.

use cel::common::types::{CelBool, CelOptional, CelString};
use cel::common::value::Val;
use cel::{Context, ExecutionError, Value as CelValue};
use serde_json::Value;
use std::sync::Arc;

use super::program::{self, ENVIRONMENT, Program};
use super::{guard, values};
use crate::schema::{ListType, Schema, Type};
use crate::status::Cause;

/// Longest message that an expression may make.
const MAX_MESSAGE: usize = 5 * 1024;

/// One rule of a schema node.
#[derive(Debug, Clone)]
pub(crate) struct Validation {
    rule: String,
    /// Empty when there is none.
    message: String,
    /// Empty when there is none.
    message_expression: String,
    /// Empty when there is none.
    reason: String,
    /// Path of the field that the message names, as `.x.y`; empty for the value itself.
    field_path: String,
    /// The rule also runs when there is no old value.
    optional_old: bool,
}

impl Validation {
    /// The rules of a schema node.
    pub(crate) fn of(source: &Value) -> Vec<Self> {
        let declared = source["x-kubernetes-validations"].as_array();
        let rules = declared.into_iter().flatten().map(|rule| {
            let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
            Self {
                rule: text("rule"),
                message: text("message").trim().to_owned(),
                message_expression: text("messageExpression"),
                reason: text("reason"),
                field_path: text("fieldPath").replace("['", "[").replace("']", "]"),
                optional_old: rule["optionalOldSelf"] == true,
            }
        });
        rules.collect()
    }

    /// The text by which errors name the rule.
    fn shown(&self) -> &str {
        if self.message.is_empty() {
            self.rule.trim()
        } else {
            &self.message
        }
    }
}

/// Reasons of causes after which the rules are not evaluated, as they rely on values of the right form.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// Everything that the rules of `schema` have against `new`, which is to replace `old` if there is one.
/// `found` is what is wrong with it already.
pub(crate) fn check(
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
    found: &[Cause],
) -> Vec<Cause> {
    if !schema.ruled {
        return Vec::new();
    }
    if found.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        return vec![Cause::invalid("<nil>", &Value::Null, detail)];
    }
    let mut root = schema.clone();
    root.embedded = true;
    let found = program::isolated(|| {
        let mut causes = Vec::new();
        node(&root, new, old, "", &mut causes);
        causes
    });
    found.unwrap_or_else(|| {
        let detail = "the validation rules could not be evaluated";
        vec![Cause::invalid("<nil>", &"object".into(), detail)]
    })
}

fn node(schema: &Schema, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if !schema.ruled || new.is_null() {
        return;
    }
    own(schema, new, old.filter(|old| !old.is_null()), path, causes);
    match new {
        Value::Object(fields) => {
            let named = !schema.properties.is_empty();
            for (name, field) in fields {
                let Some(inner) = schema.field(name) else {
                    continue;
                };
                let path = match (path, named) {
                    ("", true) => name.clone(),
                    (_, true) => format!("{path}.{name}"),
                    (_, false) => format!("{path}[{name}]"),
                };
                node(
                    inner,
                    field,
                    old.and_then(|old| old.get(name)),
                    &path,
                    causes,
                );
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.item() else { return };
            for (index, item) in items.iter().enumerate() {
                let old = old.and_then(|old| counterpart(schema, item, old));
                node(inner, item, old, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

/// The item of an old list that is the same item as `item`.
fn counterpart<'a>(schema: &Schema, item: &Value, old: &'a Value) -> Option<&'a Value> {
    let ListType::Map(keys) = &schema.list else {
        return None;
    };
    let same = |other: &&Value| keys.iter().all(|key| other.get(key) == item.get(key));
    old.as_array()?.iter().find(same)
}

/// Evaluates the rules of one node.
fn own(schema: &Schema, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    if schema.validations.is_empty() {
        return;
    }
    let shown_type = match schema.kind {
        Type::Any | Type::IntOrString => "",
        kind => kind.name(),
    };
    let place = if path.is_empty() { "<nil>" } else { path };
    let invalid = |detail: &str| Cause::invalid(place, &shown_type.into(), detail);
    for rule in &schema.validations {
        let compiled = program::compile(&rule.rule);
        let Ok(program) = &*compiled else { continue };
        if program.uses_old && old.is_none() && !rule.optional_old {
            continue;
        }
        if guard::is_spent() {
            // The rule that spent it has said so.
            return;
        }
        // As upstream, what was stored before stays accepted as long as it does not change.
        let tolerated = !program.uses_old && old == Some(new);
        let context = context(schema, rule, new, old);
        let shown = rule.shown();
        match run(program, &context, |value| value.downcast_ref::<CelBool>().map(|b| *b.inner())) {
            _ if guard::is_spent() => causes.push(invalid(&format!(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
            ))),
            Ok(Some(true)) => {}
            Ok(Some(false)) if tolerated => {}
            Ok(Some(false)) => causes.push(refusal(rule, &context, path, shown_type)),
            Ok(None) | Err(ExecutionError::NoSuchOverload(_)) => causes.push(invalid(&format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
            ))),
            Err(ExecutionError::NoSuchKey(key)) => {
                causes.push(invalid(&format!("no such key: {key} evaluating rule: {shown}")));
            }
            Err(error) => causes.push(invalid(&format!("{error} evaluating rule: {shown}"))),
        }
    }
}

fn context<'v>(
    schema: &Schema,
    rule: &Validation,
    new: &'v Value,
    old: Option<&'v Value>,
) -> Context<'v, 'v> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_as_val("self", values::value(schema, new));
    let old = old.map(|old| values::value(schema, old));
    if rule.optional_old {
        let old = old.map_or_else(CelOptional::none, CelOptional::of);
        context.add_variable_as_val("oldSelf", Box::new(old));
    } else if let Some(old) = old {
        context.add_variable_as_val("oldSelf", old);
    }
    context
}

fn run<T>(
    program: &Program,
    context: &Context<'_, '_>,
    read: impl Fn(&(dyn Val + '_)) -> Option<T>,
) -> Result<Option<T>, ExecutionError> {
    let value = CelValue::resolve_val(&program.expression, context)?;
    Ok(read(value.as_ref()))
}

/// The cause of a rule that is not fulfilled.
fn refusal(rule: &Validation, context: &Context<'_, '_>, path: &str, shown_type: &str) -> Cause {
    let message = made(rule, context).unwrap_or_else(|| match rule.message.as_str() {
        "" => format!("failed rule: {}", rule.rule.trim()),
        message => message.to_owned(),
    });
    let field = format!("{path}{}", rule.field_path);
    let field = match field.strip_prefix('.').unwrap_or(&field) {
        "" => "<nil>",
        field => field,
    };
    match rule.reason.as_str() {
        "FieldValueForbidden" => Cause::forbidden(field, &message),
        "FieldValueRequired" => Cause::required(field, &message),
        "FieldValueDuplicate" => Cause::duplicate(field, &shown_type.into()),
        _ => Cause::invalid(field, &shown_type.into(), &message),
    }
}

/// The message that the rule's expression makes; `None` when it makes none that can be shown.
fn made(rule: &Validation, context: &Context<'_, '_>) -> Option<String> {
    if rule.message_expression.is_empty() {
        return None;
    }
    let compiled = program::compile(&rule.message_expression);
    let program = compiled.as_ref().as_ref().ok()?;
    let text = |value: &(dyn Val + '_)| {
        value
            .downcast_ref::<CelString<'_>>()
            .map(|text| text.inner().trim().to_owned())
    };
    let text = run(program, context, text).ok().flatten()?;
    let fits = !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
    fits.then_some(text)
}

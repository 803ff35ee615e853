//! Objects as rules see them: typed by their schema, with names that are identifiers.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
};
use cel::common::value::Val;
use serde_json::Value;

use super::program::converted;
use crate::schema::{Schema, Type};

/// Words of CEL and of its future that are no identifiers.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The value for rules. Fields that the schema does not name are not there.
pub(super) fn value<'v>(schema: &Schema, source: &'v Value) -> Box<dyn Val + 'v> {
    match source {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => match number.as_i64().filter(|_| schema.kind != Type::Number) {
            Some(whole) => Box::new(CelInt::from(whole)),
            None => number_value(schema, number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => string(schema, text),
        Value::Array(items) => {
            let any = Schema::default();
            let item = schema.item().unwrap_or(&any);
            let items: Vec<_> = items.iter().map(|source| value(item, source)).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(fields) => {
            let named = schema.resolve().properties.len();
            let mut entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
            for (name, source) in fields {
                let Some(field) = schema.field(name) else {
                    continue;
                };
                let key = if named > 0 {
                    escaped(name)
                } else {
                    Some(name.clone())
                };
                if let Some(key) = key {
                    entries.insert(key.into(), value(field, source));
                }
            }
            if schema.embedded {
                identity(fields, &mut entries);
            }
            Box::new(CelMap::from(entries))
        }
    }
}

/// An integer written as `3.0` is one.
fn number_value<'v>(schema: &Schema, number: f64) -> Box<dyn Val + 'v> {
    let integer = matches!(schema.kind, Type::Integer | Type::IntOrString);
    #[allow(clippy::cast_possible_truncation)]
    if integer {
        Box::new(CelInt::from(number as i64))
    } else {
        Box::new(CelDouble::from(number))
    }
}

fn string<'v>(schema: &Schema, text: &'v str) -> Box<dyn Val + 'v> {
    let typed = match schema.format.as_str() {
        "duration" => converted("duration", text),
        "date-time" => converted("timestamp", text),
        "date" => converted("timestamp", &format!("{text}T00:00:00Z")),
        "byte" => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| -> Box<dyn Val> { Box::new(CelBytes::from(bytes)) }),
        _ => None,
    };
    typed.unwrap_or_else(|| Box::new(CelString::from(text)))
}

/// Adds what rules see of every object, also when the schema does not name it.
fn identity<'v>(
    fields: &'v serde_json::Map<String, Value>,
    entries: &mut HashMap<CelMapKey<'v>, Box<dyn Val + 'v>>,
) {
    let text = |source: &'v Value| -> Option<Box<dyn Val + 'v>> {
        Some(Box::new(CelString::from(source.as_str()?)))
    };
    for name in ["apiVersion", "kind"] {
        if let Some(value) = fields.get(name).and_then(text) {
            entries.insert(name.into(), value);
        }
    }
    let mut metadata: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
    for name in ["name", "generateName"] {
        if let Some(value) = fields.get("metadata").and_then(|m| text(m.get(name)?)) {
            metadata.insert(name.into(), value);
        }
    }
    entries.insert("metadata".into(), Box::new(CelMap::from(metadata)));
}

/// The name by which rules reach a field; `None` when there is none.
fn escaped(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '$');
    name.chars().all(plain).then(|| {
        name.replace("__", "\0")
            .replace('.', "__dot__")
            .replace('-', "__dash__")
            .replace('/', "__slash__")
            .replace('\0', "__underscores__")
    })
}

//! Reading the protobuf encoding of built-in kinds into JSON.
//!
//! Newer kubectl sends the objects that it makes itself (`kubectl create`, `kubectl auth can-i`) in this
//! encoding and does not fall back to JSON. Answers are always JSON, which all clients accept.

mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use wire::{Field, Fields};

/// Media type of the encoding.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every encoded object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Messages inside messages, at most.
const MAX_DEPTH: usize = 64;

/// Fields of all messages.
static MESSAGES: LazyLock<HashMap<&str, Message>> = LazyLock::new(|| {
    include_str!("fields.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, fields)| (name, parse_fields(fields)))
        .collect()
});

/// The fields of a message by number, as (name, type).
type Message = BTreeMap<u64, (&'static str, &'static str)>;

fn parse_fields(text: &'static str) -> Message {
    text.split(' ')
        .filter_map(|field| {
            let (number, rest) = field.split_once('=')?;
            let (name, kind) = rest.split_once(':')?;
            Some((number.parse().ok()?, (name, kind)))
        })
        .collect()
}

/// Reads an object; the error says what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, String> {
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or("the body does not begin as protobuf of Kubernetes")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields::new(envelope) {
        match field? {
            (1, Field::Bytes(types)) => {
                for field in Fields::new(types) {
                    match field? {
                        (1, Field::Bytes(text)) => api_version = utf8(text)?,
                        (2, Field::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(content)) => raw = content,
            _ => {}
        }
    }
    let mut object = message(&message_name(&api_version, &kind), raw, 0)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn message_name(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        None => kind.to_owned(),
        Some((group, _)) => format!("{}/{kind}", group.split('.').next().unwrap_or_default()),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("{name}: nested too deep"));
    }
    let known = MESSAGES
        .get(name)
        .ok_or_else(|| format!("no protobuf message {name} is known here"))?;
    let mut object = Map::new();
    for field in Fields::new(bytes) {
        let (number, field) = field?;
        let (field_name, kind) = known
            .get(&number)
            .ok_or_else(|| format!("{name}: field {number} is not known here"))?;
        let read = |kind: &str| {
            value(kind, &field, depth).map_err(|why| format!("{name}.{field_name}: {why}"))
        };
        if *field_name == "!" {
            if let Some(Value::Object(inner)) = read(kind)? {
                object.extend(inner);
            }
        } else if let Some(item) = kind
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let item = read(&format!("*{item}"))?.unwrap_or_default();
            match object
                .entry(*field_name)
                .or_insert_with(|| Value::Array(Vec::new()))
            {
                Value::Array(items) => items.push(item),
                _ => return Err(format!("{name}.{field_name}: not a list")),
            }
        } else if let Some(item) = kind
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            let (key, item) = entry(item, &field, depth)?;
            crate::object::child(&mut object, field_name).insert(key, item);
        } else if let Some(read) = read(kind)? {
            object.insert((*field_name).to_owned(), read);
        }
    }
    Ok(object)
}

/// An entry of a map, which is a message of key and value.
fn entry(kind: &str, field: &Field<'_>, depth: usize) -> Result<(String, Value), String> {
    let (mut key, mut item) = (String::new(), None);
    for field in Fields::new(field.bytes()?) {
        match field? {
            (1, field) => key = utf8(field.bytes()?)?,
            (2, field) => item = value(&format!("*{kind}"), &field, depth)?,
            _ => {}
        }
    }
    Ok((
        key,
        item.unwrap_or_else(|| {
            if kind == "str" || kind == "bytes" {
                "".into()
            } else {
                Value::Null
            }
        }),
    ))
}

/// A value; `None` for one that stands for absence.
fn value(kind: &str, field: &Field<'_>, depth: usize) -> Result<Option<Value>, String> {
    let (kind, keeps_zero) = kind
        .strip_prefix('*')
        .map_or((kind, false), |kind| (kind, true));
    Ok(match kind {
        "str" => Some(utf8(field.bytes()?)?)
            .filter(|text| keeps_zero || !text.is_empty())
            .map(Into::into),
        "bytes" => Some(STANDARD.encode(field.bytes()?).into()),
        "int" => Some(field.integer()?)
            .filter(|&number| keeps_zero || number != 0)
            .map(Into::into),
        "bool" => Some(field.integer()? != 0)
            .filter(|&flag| keeps_zero || flag)
            .map(Into::into),
        "f64" => Some(field.double()?)
            .filter(|&number| keeps_zero || number != 0.0)
            .map(Into::into),
        "time" | "microtime" => time(kind, field.bytes()?)?,
        "quantity" => parts(field)?
            .remove(&1)
            .map(|part| part.text())
            .transpose()?
            .map(Into::into),
        "intstr" => Some(int_or_string(field)?),
        "raw" | "fields" => parts(field)?
            .remove(&1)
            .map(|part| serde_json::from_slice(part.bytes()?).map_err(|error| error.to_string()))
            .transpose()?,
        "dur" => Some(
            parts(field)?
                .remove(&1)
                .map_or(Ok(0), |part| part.integer())?
                .into(),
        ),
        "items" => {
            let items: Result<Vec<Value>, String> = Fields::new(field.bytes()?)
                .map(|item| item.and_then(|(_, item)| item.text()).map(Value::from))
                .collect();
            Some(items?.into())
        }
        name => Some(Value::Object(message(name, field.bytes()?, depth + 1)?)),
    })
}

/// The fields of a small message by number.
fn parts<'a>(field: &Field<'a>) -> Result<BTreeMap<u64, Field<'a>>, String> {
    Fields::new(field.bytes()?).collect()
}

fn time(kind: &str, bytes: &[u8]) -> Result<Option<Value>, String> {
    let parts = parts(&Field::Bytes(bytes))?;
    let part = |number: u64| parts.get(&number).map_or(Ok(0), Field::integer);
    let (seconds, nanos) = (part(1)?, part(2)?);
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let nanos = if kind == "microtime" {
        i32::try_from(nanos).unwrap_or(0)
    } else {
        0
    };
    let time = Timestamp::new(seconds, nanos).map_err(|error| error.to_string())?;
    Ok(Some(
        if kind == "microtime" {
            format!("{time:.6}")
        } else {
            time.to_string()
        }
        .into(),
    ))
}

fn int_or_string(field: &Field<'_>) -> Result<Value, String> {
    let parts = parts(field)?;
    let is_string = parts.get(&1).map_or(Ok(0), Field::integer)? == 1;
    if is_string {
        Ok(parts.get(&3).map_or(Ok(String::new()), Field::text)?.into())
    } else {
        Ok(parts.get(&2).map_or(Ok(0), Field::integer)?.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_in_the_table_is_known() {
        const SCALARS: [&str; 13] = [
            "str",
            "int",
            "bool",
            "f64",
            "bytes",
            "time",
            "microtime",
            "quantity",
            "intstr",
            "raw",
            "fields",
            "dur",
            "items",
        ];
        for (name, fields) in MESSAGES.iter() {
            for (field, kind) in fields.values() {
                let kind = kind.trim_matches(['[', ']', '{', '}', '*']);
                assert!(
                    SCALARS.contains(&kind) || MESSAGES.contains_key(kind),
                    "{name}.{field}: {kind}"
                );
            }
        }
        assert!(MESSAGES.len() > 200);
    }

    #[test]
    fn a_config_map_is_read_as_kubectl_writes_it() {
        // What kubectl 1.37 sends for `kubectl create configmap x --from-literal=a=b`.
        let body = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1b\n\x11\n\x01x\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0";
        assert_eq!(
            decode(body).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" },
                "data": { "a": "b" },
            })
        );
    }

    #[test]
    fn damaged_bodies_are_refused() {
        for body in [
            &b""[..],
            b"k8s",
            b"k8s\0\n\xff",
            b"k8s\0\n\x05\n\x02v1",
            b"k8s\0\n\x06\n\x04None\x12\x02\n\0",
        ] {
            assert!(decode(body).is_err(), "{body:?}");
        }
    }
}

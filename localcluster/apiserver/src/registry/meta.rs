//! Metadata that the server owns.

use serde_json::{Value, json};

use super::Kind;
use crate::clock::Clock;
use crate::object;
use crate::status::Cause;

/// Longest generated name before its random suffix.
const MAX_GENERATED_BASE: usize = 58;

/// Characters of a random suffix: no vowels and no look-alikes, so that no words come out.
const SUFFIX_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Metadata fields that clients cannot set.
const SERVER_OWNED: [&str; 4] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Gives a new object its identity. A name is made from `generateName` if there is none.
pub(crate) fn initialise(kind: &Kind, object: &mut Value, clock: &Clock) {
    let counts = kind.counts_generations();
    let metadata = object::metadata(object);
    let unnamed = metadata
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty();
    if let (true, Some(base)) = (
        unnamed,
        metadata.get("generateName").and_then(Value::as_str),
    ) {
        let name = generate_name(base);
        metadata.insert("name".to_owned(), name.into());
    }
    for field in SERVER_OWNED
        .into_iter()
        .chain(["resourceVersion", "selfLink", "generation"])
    {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), clock.now_rfc3339().into());
    if counts {
        metadata.insert("generation".to_owned(), json!(1));
    }
    drop_empty(object);
}

fn generate_name(base: &str) -> String {
    let base: String = base.chars().take(MAX_GENERATED_BASE).collect();
    let suffix: String = (0..5)
        .filter_map(|_| fastrand::choice(SUFFIX_CHARACTERS))
        .map(|&byte| char::from(byte))
        .collect();
    base + &suffix
}

/// Carries what the server owns from the stored object over to its successor, whatever the client put
/// there.
pub(crate) fn inherit(old: &Value, new: &mut Value) {
    let old = old.get("metadata").unwrap_or(&Value::Null);
    let metadata = object::metadata(new);
    for field in SERVER_OWNED
        .into_iter()
        .chain(["resourceVersion", "generation", "generateName"])
    {
        match old.get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.remove("selfLink");
    drop_empty(new);
}

/// Counts the generation when anything but metadata and status changed.
pub(crate) fn count_generation(kind: &Kind, old: &Value, new: &mut Value) {
    if !kind.counts_generations() {
        return;
    }
    let desired = |object: &Value| {
        let mut fields = object.as_object().cloned().unwrap_or_default();
        for field in ["metadata", "status", "kind", "apiVersion"] {
            fields.remove(field);
        }
        fields
    };
    if desired(old) != desired(new) {
        let generation = old
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        object::metadata(new).insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Removes metadata fields that say nothing, as upstream's encoding does.
fn drop_empty(object: &mut Value) {
    object::metadata(object).retain(|_, value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

/// What is wrong with a change of metadata.
pub(crate) fn check_update(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if object::is_deleting(old) {
        let before = object::finalizers(old);
        for finalizer in object::finalizers(new) {
            if !before.contains(&finalizer) {
                causes.push(Cause::forbidden(
                    "metadata.finalizers",
                    &format!(
                        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{\"{finalizer}\"}}"
                    ),
                ));
            }
        }
    }
    causes
}

//! Digests for change detection.
//!
//! Their input is canonical JSON (sorted keys, no whitespace) of the API server's response, not a serialised Rust type.
//! So a new version of the controller computes the same digests and does not start releases.

use std::fmt::Write;

use canary_engine::REVISION_PREFIX;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Revision of a workload: the digest of its pod template, including labels and annotations. Flagger: replicas,
/// strategy and the workload's own metadata are excluded.
#[must_use]
pub fn revision(workload: &Value) -> String {
    let mut template = workload["spec"]["template"].clone();
    drop_nulls(&mut template);
    format!(
        "{REVISION_PREFIX}{}",
        hex(&Sha256::digest(canonical(&template)), 32)
    )
}

/// Removes null fields. API servers up to 1.33 return `metadata.creationTimestamp: null` in every template, later
/// versions omit it (kubernetes#130989), and an upgrade of the API server must not start a release.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Checksum of a ConfigMap or Secret: the first 8 bytes of SHA-256 over the JSON of its `data` in Go's encoding. This
/// is Flagger's algorithm, so migrating from Flagger does not start releases. Binary data, which Flagger ignores, is
/// included if present.
#[must_use]
pub fn config_checksum(object: &Value) -> String {
    let mut text = go_json(&object["data"]);
    if object["binaryData"]
        .as_object()
        .is_some_and(|data| !data.is_empty())
    {
        text.push_str(&go_json(&object["binaryData"]));
    }
    hex(&Sha256::digest(text), 8)
}

/// The first `bytes` bytes of SHA-256 over `text`, in hexadecimal. Used for names derived from keys.
#[must_use]
pub fn short(text: &str, bytes: usize) -> String {
    hex(&Sha256::digest(text), bytes)
}

/// A UUID derived from `text`, in the format of a random one (version 4).
#[must_use]
pub fn uuid(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// JSON with sorted keys and no whitespace. `serde_json` sorts the keys of maps in this workspace.
fn canonical(value: &Value) -> String {
    value.to_string()
}

/// JSON in the encoding of Go's `encoding/json`, which escapes characters that are unsafe in HTML.
fn go_json(value: &Value) -> String {
    let mut text = String::new();
    for c in canonical(value).chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            _ => text.push(c),
        }
    }
    text
}

fn hex(digest: &[u8], bytes: usize) -> String {
    digest
        .iter()
        .take(bytes)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revision_depends_only_on_the_template_and_not_on_key_order() {
        let one: Value = serde_json::from_str(
            r#"{"metadata":{"labels":{"a":"1"}},"spec":{"replicas":1,"template":{"spec":{"a":1,"b":2}}}}"#,
        )
        .unwrap();
        let other: Value = serde_json::from_str(
            r#"{"spec":{"template":{"spec":{"b":2,"a":1}},"replicas":3},"metadata":{}}"#,
        )
        .unwrap();
        assert_eq!(revision(&one), revision(&other));
        assert!(revision(&one).starts_with(REVISION_PREFIX));
        assert_eq!(revision(&one).len(), REVISION_PREFIX.len() + 64);
    }

    #[test]
    fn null_fields_do_not_change_a_revision() {
        let before = json!({ "spec": { "template": {
            "metadata": { "creationTimestamp": null, "labels": { "app": "a" } },
            "spec": { "containers": [{ "image": "x:1", "env": null }] },
        } } });
        let after = json!({ "spec": { "template": {
            "metadata": { "labels": { "app": "a" } },
            "spec": { "containers": [{ "image": "x:1" }] },
        } } });
        assert_eq!(revision(&before), revision(&after));
    }

    #[test]
    fn a_revision_changes_with_labels_annotations_and_spec_of_the_template() {
        let template = |label: &str, image: &str| {
            json!({ "spec": { "template": { "metadata": { "labels": { "app": label } },
                "spec": { "containers": [{ "image": image }] } } } })
        };
        let base = revision(&template("a", "x:1"));
        assert_ne!(base, revision(&template("b", "x:1")));
        assert_ne!(base, revision(&template("a", "x:2")));
    }

    #[test]
    fn checksums_use_the_json_encoding_of_go() {
        // echo -n '{"a":"\u003c1\u0026"}' | sha256sum
        let digest = config_checksum(&json!({ "data": { "a": "<1&" } }));
        assert_eq!(digest, hex(&Sha256::digest(r#"{"a":"\u003c1\u0026"}"#), 8));
        assert_eq!(digest.len(), 16);
        assert_eq!(config_checksum(&json!({})), hex(&Sha256::digest("null"), 8));
    }

    #[test]
    fn binary_data_changes_the_checksum() {
        let plain = config_checksum(&json!({ "data": { "a": "1" } }));
        let binary =
            config_checksum(&json!({ "data": { "a": "1" }, "binaryData": { "b": "AA==" } }));
        assert_ne!(plain, binary);
    }

    #[test]
    fn a_derived_uuid_is_stable_and_well_formed() {
        assert_eq!(uuid("a"), uuid("a"));
        assert_ne!(uuid("a"), uuid("b"));
        assert_eq!(uuid("a").len(), 36);
        assert_eq!(&uuid("a")[14..15], "4");
    }
}

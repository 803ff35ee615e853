//! Digests that decide whether something changed.
//!
//! They are taken over canonical JSON (keys sorted, no white space) of what the API server returned, never over
//! types of this program: a new version of the controller computes the same digests and starts no release.

use std::fmt::Write;

use canary_engine::REVISION_PREFIX;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Revision of a workload: the digest of its pod template (labels, annotations and spec; Flagger: replicas,
/// strategy and the workload's own metadata are not part of it).
#[must_use]
pub fn revision(workload: &Value) -> String {
    let mut template = workload["spec"]["template"].clone();
    drop_nulls(&mut template);
    format!(
        "{REVISION_PREFIX}{}",
        hex(&Sha256::digest(canonical(&template)), 32)
    )
}

/// Takes out fields that are null. API servers up to 1.33 return `metadata.creationTimestamp: null` in every template,
/// later ones leave it out (kubernetes#130989), and an upgrade is no release.
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

/// Checksum of a ConfigMap or Secret, as Flagger computes it: the first 8 bytes of SHA-256 over the JSON of its
/// `data` as Go writes it, so that taking over from Flagger starts no release. Binary data, which Flagger
/// overlooks, is added when there is some.
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

/// The first `bytes` bytes of SHA-256 over `text`, in hexadecimal: for names derived from keys.
#[must_use]
pub fn short(text: &str, bytes: usize) -> String {
    hex(&Sha256::digest(text), bytes)
}

/// A UUID derived from `text`, in the form of a random one.
#[must_use]
pub fn uuid(text: &str) -> String {
    let digest = Sha256::digest(text);
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// JSON with sorted keys and no white space; `serde_json` keeps maps sorted in this workspace.
fn canonical(value: &Value) -> String {
    value.to_string()
}

/// JSON as Go's encoder writes it, which escapes what could end a script element.
fn go_json(value: &Value) -> String {
    let mut text = String::new();
    for c in canonical(value).chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
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
    fn a_revision_ignores_the_order_of_keys_and_everything_but_the_template() {
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
    fn an_upgrade_of_the_api_server_that_no_longer_returns_nulls_changes_no_revision() {
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
    fn checksums_are_those_of_go() {
        // echo -n '{"a":"\u003c1\u0026"}' | sha256sum
        let digest = config_checksum(&json!({ "data": { "a": "<1&" } }));
        assert_eq!(digest, hex(&Sha256::digest(r#"{"a":"\u003c1\u0026"}"#), 8));
        assert_eq!(digest.len(), 16);
        assert_eq!(config_checksum(&json!({})), hex(&Sha256::digest("null"), 8));
    }

    #[test]
    fn binary_data_counts() {
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

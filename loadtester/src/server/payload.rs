//! The body of a webhook of Flagger.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One webhook. Unknown fields are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Name of the canary.
    pub name: String,
    /// Namespace of the canary.
    pub namespace: String,
    /// Phase of the canary.
    #[serde(default)]
    pub phase: String,
    /// Identifies the revision under analysis.
    #[serde(default)]
    pub checksum: String,
    /// `metadata` of the webhook in the Canary.
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// The body is not a payload.
#[derive(Debug, thiserror::Error)]
#[error("the body is not a webhook payload (name, namespace, metadata with text values): {0}")]
pub(crate) struct BadPayload(#[from] serde_json::Error);

impl Payload {
    /// Parses a body.
    ///
    /// # Errors
    /// The body is not a JSON object with these fields.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, BadPayload> {
        Ok(serde_json::from_slice(body)?)
    }

    /// `name.namespace`, the key of gates and of running commands.
    pub(crate) fn canary(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// A value of the metadata.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(key).map(String::as_str)
    }

    /// Flagger's `type`, which says how `cmd` is read; the default is `cmd`.
    pub(crate) fn kind(&self) -> &str {
        self.get("type")
            .filter(|kind| !kind.is_empty())
            .unwrap_or("cmd")
    }

    /// True if a value of the metadata is `true`.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_payload_of_flagger_is_parsed() {
        let body = br#"{"name":"simple-app","namespace":"default","phase":"Progressing",
            "checksum":"85d557f47b","metadata":{"type":"cmd","cmd":"hey http://a/","logCmdOutput":"true"}}"#;
        let payload = Payload::parse(body).unwrap();
        assert_eq!(payload.canary(), "simple-app.default");
        assert_eq!(payload.get("cmd"), Some("hey http://a/"));
        assert!(payload.is_set("logCmdOutput") && !payload.is_set("other"));
    }

    #[test]
    fn metadata_may_be_missing_and_other_bodies_are_refused() {
        let without = Payload::parse(br#"{"name":"a","namespace":"b"}"#).unwrap();
        assert_eq!(without.metadata, None);
        assert_eq!(without.kind(), "cmd");
        for body in [
            "",
            "{}",
            "[]",
            r#"{"name":"a"}"#,
            r#"{"name":1,"namespace":"b"}"#,
        ] {
            assert!(Payload::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Payload::parse(&bytes);
        }

        #[test]
        fn every_payload_survives_encoding_and_parsing(
            name in "[a-z-]{1,20}", namespace in "[a-z-]{1,20}",
            metadata in proptest::collection::btree_map("\\PC{0,10}", "\\PC{0,40}", 0..4),
        ) {
            let body = serde_json::json!({"name": name, "namespace": namespace, "metadata": metadata});
            let payload = Payload::parse(body.to_string().as_bytes()).unwrap();
            prop_assert_eq!(payload.metadata, Some(metadata));
        }
    }
}

//! A node of a definition's schema as JSON, read as upstream decodes it: what is null or empty is not set.

use serde_json::Value;

/// A schema as it stands in a definition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

impl<'a> Node<'a> {
    /// The value of a keyword, if it is set.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A keyword's text, empty when it is not set.
    pub(super) fn text(self, key: &str) -> &'a str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// `type`
    pub(super) fn kind(self) -> &'a str {
        self.text("type")
    }

    /// A keyword that is true.
    pub(super) fn flag(self, key: &str) -> bool {
        self.get(key) == Some(&Value::Bool(true))
    }

    /// The schema under a keyword such as `items` or `not`. A boolean is none.
    pub(super) fn schema(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| value.is_object()).map(Self)
    }

    /// The items of a list.
    pub(super) fn list(self, key: &str) -> impl Iterator<Item = &'a Value> {
        self.get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    /// The schemas of `allOf`, `anyOf` or `oneOf` with their paths.
    pub(super) fn schemas(self, key: &str, path: &str) -> impl Iterator<Item = (String, Self)> {
        let path = format!("{path}.{key}");
        self.list(key)
            .enumerate()
            .map(move |(index, schema)| (format!("{path}[{index}]"), Self(schema)))
    }

    /// Returns whether a map or list has something in it.
    pub(super) fn filled(self, key: &str) -> bool {
        self.get(key).is_some_and(|value| match value {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        })
    }

    /// The schema of one property.
    pub(super) fn property(self, name: &str) -> Option<Self> {
        self.get("properties")?.get(name).map(Self)
    }

    /// The properties with their paths.
    pub(super) fn properties(
        self,
        path: &str,
    ) -> impl Iterator<Item = (&'a str, String, Self)> + use<'a> {
        let path = format!("{path}.properties");
        self.get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(move |(name, schema)| (name.as_str(), format!("{path}[{name}]"), Self(schema)))
    }

    /// The keywords that say something about values.
    pub(super) fn keywords(self) -> impl Iterator<Item = &'a str> {
        self.0
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| is_set(key, value))
            .map(|(key, _)| key.as_str())
    }

    /// Returns whether only these keywords are set.
    fn is_only(self, wanted: &[(&str, &str)]) -> bool {
        self.keywords().count() == wanted.len()
            && wanted.iter().all(|(key, value)| self.text(key) == *value)
    }

    /// Returns whether the list is `[{type: integer}, {type: string}]`, which may stand beside
    /// `x-kubernetes-int-or-string`.
    pub(super) fn is_int_or_string(self, key: &str) -> bool {
        let mut list = self.list(key).map(Self);
        match (list.next(), list.next(), list.next()) {
            (Some(first), Some(second), None) => {
                first.is_only(&[("type", "integer")]) && second.is_only(&[("type", "string")])
            }
            _ => false,
        }
    }
}

/// Returns whether a keyword has a value other than the empty one, and is no documentation.
fn is_set(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("externalDocs" | "example", _) | (_, Value::Null | Value::Bool(false)) => {
            key == "additionalProperties" && !value.is_null()
        }
        // An empty schema is one.
        ("items" | "not" | "additionalProperties", _) => true,
        (_, Value::String(text)) => !text.is_empty(),
        (_, Value::Array(items)) => !items.is_empty(),
        (_, Value::Object(fields)) => !fields.is_empty(),
        _ => true,
    }
}

//! The name of a ConfigMap.

use std::fmt;
use std::str::FromStr;

/// `NAME` in the load tester's own namespace, or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigMapName {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl ConfigMapName {
    /// The same name in `namespace`, unless it has a namespace already.
    pub(crate) fn or_in(self, namespace: &str) -> Self {
        Self {
            namespace: self.namespace.or_else(|| Some(namespace.to_owned())),
            ..self
        }
    }
}

impl FromStr for ConfigMapName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, text),
        };
        // Names become segments of a path, in which `.` and `..` have a meaning.
        let is_name = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if is_name(name) && namespace.as_deref().is_none_or(is_name) {
            Ok(Self {
                namespace,
                name: name.to_owned(),
            })
        } else {
            Err(format!(
                "`{text}` is not the name of a ConfigMap: write NAME or NAMESPACE/NAME"
            ))
        }
    }
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{namespace}/{}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_namespace_is_in_the_namespace_of_the_pod() {
        let name = |text: &str| {
            text.parse::<ConfigMapName>()
                .map(|name| name.or_in("test").to_string())
        };
        assert_eq!(name("gates"), Ok("test/gates".to_owned()));
        assert_eq!(name("shop/gates"), Ok("shop/gates".to_owned()));
        for wrong in [
            "", "/", "a/", "/b", "a/b/c", "a b", "a/../b", "..", "a/..", "a?b",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}

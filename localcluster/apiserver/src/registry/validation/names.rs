//! Names, labels and the rest of metadata.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::{Causes, items};
use crate::object;
use crate::registry::{Behaviour, Kind};

/// Checks a text; the error says what is wrong.
pub(super) type Rule = fn(&str) -> Result<(), &'static str>;

const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Largest sum of annotation keys and values, as upstream.
const MAX_ANNOTATIONS: usize = 256 * 1024;

static VALUE_PATTERN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$").ok());

fn fits(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

fn checked(holds: bool, detail: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(detail) }
}

/// `example.com`
pub(super) fn subdomain(text: &str) -> Result<(), &'static str> {
    crate::names::subdomain(text).map_err(|problems| problems[0])
}

/// `my-name`, `1-name`
pub(super) fn label(text: &str) -> Result<(), &'static str> {
    crate::names::label(text).map_err(|problems| problems[0])
}

/// `my-name`, but not `1-name`
pub(super) fn label_1035(text: &str) -> Result<(), &'static str> {
    crate::names::label_1035(text).map_err(|problems| problems[0])
}

/// Anything that can stand between slashes in a path.
fn path_segment(text: &str) -> Result<(), &'static str> {
    checked(text != "." && text != "..", "may not be '.' or '..'")?;
    checked(!text.contains('/'), "may not contain '/'")?;
    checked(!text.contains('%'), "may not contain '%'")
}

/// Value of a label.
pub(super) fn label_value(text: &str) -> Result<(), &'static str> {
    checked(text.len() <= 63, "must be no more than 63 characters")?;
    checked(fits(&VALUE_PATTERN, text), LABEL_VALUE)
}

/// `name` or `example.com/name`
pub(super) fn qualified(text: &str) -> Result<(), &'static str> {
    let name = match text.rsplit_once('/') {
        None => text,
        Some((prefix, name)) => {
            checked(!prefix.is_empty(), "prefix part must be non-empty")?;
            checked(
                subdomain(prefix).is_ok(),
                "prefix part must be a lowercase RFC 1123 subdomain",
            )?;
            name
        }
    };
    checked(!name.is_empty(), "name part must be non-empty")?;
    checked(
        name.len() <= 63,
        "name part must be no more than 63 characters",
    )?;
    checked(fits(&VALUE_PATTERN, name), QUALIFIED_NAME)
}

/// Name of a port: `http`, at most 15 characters.
pub(super) fn port_name(text: &str) -> Result<(), &'static str> {
    checked(text.len() <= 15, "must be no more than 15 characters")?;
    let plain = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    checked(
        plain,
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    )?;
    checked(
        text.contains(|c: char| c.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    )?;
    checked(!text.contains("--"), "must not contain consecutive hyphens")?;
    checked(
        !text.starts_with('-') && !text.ends_with('-'),
        "must not begin or end with a hyphen",
    )
}

/// Name of an environment variable.
pub(super) fn variable(text: &str) -> Result<(), &'static str> {
    checked(
        text.chars().all(|c| c.is_ascii_graphic() && c != '='),
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    )
}

/// Key of a ConfigMap or Secret.
pub(super) fn data_key(text: &str) -> Result<(), &'static str> {
    checked(text.len() <= 253, "must be no more than 253 characters")?;
    checked(text != "." && text != "..", "must not be '.' or '..'")?;
    checked(
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    )
}

fn name_rule(kind: &Kind) -> Rule {
    if matches!(kind.behaviour, Behaviour::Custom(_)) {
        return subdomain;
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => label,
        ("", "services") => label_1035,
        ("rbac.authorization.k8s.io", _) => path_segment,
        _ => subdomain,
    }
}

/// Checks `metadata`.
pub(super) fn metadata(kind: &Kind, object: &Value, causes: &mut Causes) {
    let metadata = &object["metadata"];
    match object::name(object) {
        "" => causes.required("metadata.name", "name or generateName is required"),
        name => {
            if let Err(detail) = name_rule(kind)(name) {
                causes.invalid("metadata.name", &json!(name), detail);
            }
        }
    }
    labels(&metadata["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().unwrap_or_default().len();
        if let Err(detail) = qualified(&key.to_lowercase()) {
            causes.invalid("metadata.annotations", &json!(key), detail);
        }
    }
    if size > MAX_ANNOTATIONS {
        causes.0.push(crate::status::Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".to_owned(),
            message: format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"),
        });
    }
    for (index, owner) in items(&metadata["ownerReferences"]) {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if object::text(owner, &format!("/{field}")).is_empty() {
                causes.invalid(
                    format!("metadata.ownerReferences[{index}].{field}"),
                    &json!(""),
                    &format!("{field} must not be empty"),
                );
            }
        }
    }
    for finalizer in object::finalizers(object) {
        if let Err(detail) = qualified(finalizer) {
            causes.invalid("metadata.finalizers", &json!(finalizer), detail);
        }
    }
}

/// Checks a map of labels.
pub(super) fn labels(labels: &Value, path: &str, causes: &mut Causes) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Err(detail) = qualified(key) {
            causes.invalid(path, &json!(key), detail);
        }
        if let Err(detail) = label_value(value.as_str().unwrap_or_default()) {
            causes.invalid(path, value, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        assert!(subdomain("a.b-c.1").is_ok());
        for bad in ["", "A", "a_b", "-a", "a.", "a..b"] {
            assert!(subdomain(bad).is_err(), "{bad}");
        }
        assert!(label("1-a").is_ok() && label("a.b").is_err());
        assert!(label_1035("a-1").is_ok() && label_1035("1-a").is_err());
        assert!(label_value("").is_ok() && label_value("a b").is_err());
        assert!(
            qualified("example.com/A_b.c").is_ok()
                && qualified("/a").is_err()
                && qualified("a/b/").is_err()
        );
        assert!(
            port_name("http-2").is_ok() && port_name("80").is_err() && port_name("a--b").is_err()
        );
        assert!(data_key("a.b_C-1").is_ok() && data_key("a/b").is_err());
    }
}

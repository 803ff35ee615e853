//! The group and the names of a definition's kind.

use serde_json::Value;

use super::super::{Causes, items};
use crate::names;

pub(super) fn group(group: &Value, causes: &mut Causes) {
    let text = group.as_str().unwrap_or_default();
    if text.is_empty() {
        causes.required("spec.group", "");
    } else if let Err(problems) = names::subdomain(text) {
        causes.invalid("spec.group", group, &problems.join(","));
    } else if !text.contains('.') {
        causes.invalid(
            "spec.group",
            group,
            "should be a domain with at least one dot",
        );
    }
}

pub(super) fn check(declared: &Value, causes: &mut Causes) {
    let field = |name: &str| format!("spec.names.{name}");
    let text = |name: &str| declared[name].as_str().unwrap_or_default();
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(name).is_empty() {
            causes.required(field(name), "");
        }
    }
    for name in ["plural", "singular"] {
        if !text(name).is_empty() {
            label(field(name), &declared[name], causes);
        }
    }
    for name in ["kind", "listKind"] {
        if !text(name).is_empty()
            && let Err(why) = names::kind(text(name))
        {
            causes.invalid(field(name), &declared[name], &why);
        }
    }
    for list in ["shortNames", "categories"] {
        for (index, name) in items(&declared[list]) {
            label(format!("{}[{index}]", field(list)), name, causes);
        }
    }
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        causes.invalid(
            field("listKind"),
            &declared["listKind"],
            "kind and listKind may not be the same",
        );
    }
}

/// Checks a name that must be a label, such as `widgets`.
pub(super) fn label(field: String, name: &Value, causes: &mut Causes) {
    if let Err(problems) = names::label_1035(name.as_str().unwrap_or_default()) {
        causes.invalid(field, name, &problems.join(","));
    }
}

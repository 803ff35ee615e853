//! Groups that belong to Kubernetes. Definitions in them say who approved them.

use serde_json::Value;

use super::super::Causes;
use crate::object;

const ANNOTATION: &str = "api-approved.kubernetes.io";
const MORE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// The answer that the annotation gives.
#[derive(Debug, PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

pub(super) fn check(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let group = object::text(new, "/spec/group");
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|owned| {
        group
            .strip_suffix(owned)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    if !protected {
        return;
    }
    let approval = approval(new);
    if old.is_some_and(|old| self::approval(old) == approval) {
        return;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    let detail = format!("protected groups must have approval annotation \"{ANNOTATION}\"");
    match approval {
        Approval::Missing => causes.required(field, &format!("{detail}, {MORE}")),
        Approval::Invalid => causes.invalid(
            field,
            &new["metadata"]["annotations"][ANNOTATION],
            &format!("{detail} with either a URL or a reason starting with \"unapproved\", {MORE}"),
        ),
        Approval::Bypassed | Approval::Approved => {}
    }
}

fn approval(definition: &Value) -> Approval {
    let annotation = &definition["metadata"]["annotations"][ANNOTATION];
    let text = annotation.as_str().unwrap_or_default();
    let is_url = || {
        text.parse::<http::Uri>()
            .is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some())
    };
    if text.is_empty() {
        Approval::Missing
    } else if text.starts_with("unapproved") {
        Approval::Bypassed
    } else if is_url() {
        Approval::Approved
    } else {
        Approval::Invalid
    }
}

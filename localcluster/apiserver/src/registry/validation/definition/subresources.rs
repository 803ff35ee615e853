//! `subresources`.

use serde_json::Value;

use super::super::Causes;

pub(super) fn check(subresources: &Value, path: &str, causes: &mut Causes) {
    let scale = &subresources["scale"];
    if scale.is_null() {
        return;
    }
    for (name, roots, detail) in [
        (
            "specReplicasPath",
            &[".spec."][..],
            "should be a json path under .spec",
        ),
        (
            "statusReplicasPath",
            &[".status."],
            "should be a json path under .status",
        ),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let field = format!("{path}.scale.{name}");
        let text = scale[name].as_str().unwrap_or_default();
        if text.is_empty() {
            if name != "labelSelectorPath" {
                causes.required(field, "");
            }
        } else if json_path(field.clone(), &scale[name], causes)
            && !roots.iter().any(|root| text.starts_with(root))
        {
            causes.invalid(field, &scale[name], detail);
        }
    }
}

/// Checks that a path that is not empty starts at the object.
pub(super) fn json_path(field: String, path: &Value, causes: &mut Causes) -> bool {
    let holds = path.as_str().is_some_and(|path| path.starts_with('.'));
    if !holds {
        causes.invalid(field, path, "must be a simple json path starting with .");
    }
    holds
}

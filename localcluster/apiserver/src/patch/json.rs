//! JSON patch (RFC 6902) and JSON merge patch (RFC 7396).

use json_patch::PatchOperation;
use serde_json::Value;

use super::PatchError;

/// Most operations in one JSON patch, as upstream.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch, all of it or nothing.
pub(crate) fn apply(object: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let patch: json_patch::Patch = serde_json::from_slice(patch)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    if patch.0.len() > MAX_OPERATIONS {
        return Err(PatchError::Malformed(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            patch.0.len()
        )));
    }
    let mut patched = object.clone();
    for operation in &patch.0 {
        if expects_nothing(&patched, operation) {
            continue;
        }
        json_patch::patch(&mut patched, std::slice::from_ref(operation))
            .map_err(|error| PatchError::Inapplicable(error.to_string()))?;
    }
    Ok(patched)
}

/// Returns whether an operation tests for null what is not there. RFC 6902 lets that fail; in Kubernetes it
/// holds, and clients rely on it.
fn expects_nothing(object: &Value, operation: &PatchOperation) -> bool {
    match operation {
        PatchOperation::Test(test) => {
            test.value.is_null() && object.pointer(test.path.as_str()).is_none()
        }
        _ => false,
    }
}

/// Applies a JSON merge patch.
pub(crate) fn merge(object: &Value, patch: &Value) -> Value {
    let mut merged = object.clone();
    json_patch::merge(&mut merged, patch);
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_applied_as_a_whole_or_not_at_all() {
        let object = json!({ "a": 1 });
        let patched = apply(
            &object,
            br#"[{"op":"add","path":"/b","value":2},{"op":"remove","path":"/a"}]"#,
        );
        assert_eq!(patched, Ok(json!({ "b": 2 })));
        let failed = apply(
            &object,
            br#"[{"op":"remove","path":"/a"},{"op":"test","path":"/b","value":2}]"#,
        );
        assert!(matches!(failed, Err(PatchError::Inapplicable(_))));
        assert!(matches!(
            apply(&object, b"{}"),
            Err(PatchError::Malformed(_))
        ));
    }

    #[test]
    fn what_is_not_there_is_null_to_a_test() {
        let patch =
            br#"[{"op":"test","path":"/b","value":null},{"op":"add","path":"/b","value":[1]}]"#;
        assert_eq!(apply(&json!({}), patch), Ok(json!({ "b": [1] })));
        assert!(apply(&json!({ "b": 1 }), patch).is_err());
    }
}

//! JSON patch (RFC 6902) and JSON merge patch (RFC 7396).

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
    json_patch::patch(&mut patched, &patch)
        .map_err(|error| PatchError::Inapplicable(error.to_string()))?;
    Ok(patched)
}

/// Applies a JSON merge patch.
pub(crate) fn merge(object: &Value, patch: &Value) -> Value {
    let mut merged = object.clone();
    json_patch::merge(&mut merged, patch);
    merged
}

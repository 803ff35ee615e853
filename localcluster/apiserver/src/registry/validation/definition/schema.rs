//! The schema of one version, or the one that all versions share.

use serde_json::Value;

use super::super::Causes;
use crate::schema::{cel, structural};

/// Checks the schema of one version or of all.
pub(super) fn check(schema: &Value, path: &str, status: bool, causes: &mut Causes) {
    let schema = &schema["openAPIV3Schema"];
    if !schema.is_null() {
        let path = format!("{path}.openAPIV3Schema");
        causes.0.extend(structural::check(schema, &path, status));
        causes.0.extend(cel::report(schema, &path).causes);
    }
}

/// Returns whether the status of a version is written by requests of its own.
pub(super) fn has_status(version: &Value) -> bool {
    !version["subresources"]["status"].is_null()
}

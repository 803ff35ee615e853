//! `metadata.managedFields`: who has set which fields.

use crate::status::ApiError;
use http::header::USER_AGENT;
use serde_json::Value;

use super::server::Call;
use crate::patch::managers::{Manager, Managers, Write};
use crate::registry::Kind;

/// Longest name of a field manager, as upstream.
pub(super) const MAX_MANAGER: usize = 128;

/// Where the `metadata.managedFields` of a new object come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// They are in the object already.
    Given,
    /// The writer gets the fields that it changes.
    Recorded,
}

/// The managers of an object.
pub(super) fn read(object: &Value) -> Result<Managers, ApiError> {
    Managers::read(object).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Records in `new` that the caller turned `old` into it by a write that was no apply.
pub(crate) fn record_update(
    call: &Call,
    kind: &Kind,
    subresource: &str,
    old: &Value,
    new: &mut Value,
) -> Result<(), ApiError> {
    let stored = if new.pointer("/metadata/managedFields").is_some() {
        &*new
    } else {
        old
    };
    let mut managers = read(stored)?;
    let writer = Manager {
        name: writer(call),
        applies: false,
        api_version: kind.api_version(),
        subresource: subresource.to_owned(),
    };
    let now = call.server.clock.now_rfc3339();
    // Objects whose lists have double keys are stored by servers too; their ownership is not tracked.
    let write = Write {
        schema: kind.stored_schema(),
        has_status: kind.status,
        writer: &writer,
        now: &now,
    };
    if managers.record_update(old, new, &write).is_ok() {
        managers.write(new);
    }
    Ok(())
}

/// Who writes: the manager that the request names, or else the program that sent it.
fn writer(call: &Call) -> String {
    let agent = || {
        call.headers
            .get(USER_AGENT)?
            .to_str()
            .ok()?
            .split('/')
            .next()
    };
    let name = call
        .query
        .get("fieldManager")
        .or_else(agent)
        .unwrap_or_default();
    let name: String = name.chars().take(MAX_MANAGER).collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}

//! `patch`.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::managers::Ownership;
use super::request::ResourceRequest;
use super::server::Call;
use super::{apply, body, render, update};
use crate::patch::{self, PatchError};
use crate::registry::{Behaviour, Kind};
use crate::status::{ApiError, Cause};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// Answers `patch`.
pub(crate) async fn patch(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let media_type = body::media_type(&call.headers);
    if media_type == APPLY {
        return apply::apply(call, kind, request).await;
    }
    let patched = match media_type.as_str() {
        JSON => {
            update::change(call, kind, request, Ownership::Recorded, |current| {
                let object = patch::json::apply(current, &call.body);
                finish(call, kind, request, object, &[])
            })
            .await?
        }
        MERGE | STRATEGIC => {
            let strategic = media_type == STRATEGIC;
            if strategic && matches!(kind.behaviour, Behaviour::Custom(_)) {
                return Err(body::unsupported_media_type(&[JSON, MERGE, APPLY]));
            }
            let parsed = body::parse_json(&call.body)?;
            update::change(call, kind, request, Ownership::Recorded, |current| {
                let object = if strategic {
                    patch::strategic::apply(kind.schema(), current, &parsed.value)
                } else {
                    Ok(patch::json::merge(current, &parsed.value))
                };
                finish(call, kind, request, object, &parsed.duplicates)
            })
            .await?
        }
        _ => {
            return Err(body::unsupported_media_type(&[
                JSON, MERGE, STRATEGIC, APPLY,
            ]));
        }
    };
    Ok(render::json(StatusCode::OK, &kind.present(&patched)))
}

/// Checks a patched object as one that was sent whole.
fn finish(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
    patched: Result<Value, PatchError>,
    duplicates: &[String],
) -> Result<Value, ApiError> {
    let mut object = patched.map_err(|error| match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::Inapplicable(message) => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {message}"),
        ),
    })?;
    body::check_identity(kind, request, &mut object)?;
    body::fit(call, kind, &mut object, duplicates).map_err(|message| {
        let shown = String::from_utf8_lossy(&call.body).into_owned();
        let cause = Cause::invalid("patch", &Value::String(shown), &message);
        ApiError::invalid_named("", "", "", &[cause])
    })?;
    Ok(object)
}

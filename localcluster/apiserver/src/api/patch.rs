//! `patch`.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::request::ResourceRequest;
use super::server::Call;
use super::{ApiError, body, render, update};
use crate::registry::Kind;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Answers `patch`.
pub(crate) async fn patch(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let patched = match body::media_type(&call.headers).as_str() {
        JSON => {
            let patch: json_patch::Patch = serde_json::from_slice(&call.body)
                .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
            update::change(call, kind, request, |current| {
                let mut object = current.clone();
                json_patch::patch(&mut object, &patch).map_err(|error| {
                    ApiError::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "Invalid",
                        format!("the server rejected our request due to an error in our request: {error}"),
                    )
                })?;
                identified(kind, request, object)
            })
            .await?
        }
        MERGE | STRATEGIC => {
            let patch = body::parse_json(&call.body)?;
            update::change(call, kind, request, |current| {
                let mut object = current.clone();
                json_patch::merge(&mut object, &patch);
                identified(kind, request, object)
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

fn identified(
    kind: &Kind,
    request: &ResourceRequest,
    mut object: Value,
) -> Result<Value, ApiError> {
    body::check_identity(kind, request, &mut object)?;
    Ok(object)
}

//! Encoding answers.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;

/// A JSON answer.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response {
    (
        code,
        [(CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
        .into_response()
}

/// A text answer.
pub(crate) fn text(value: impl Into<String>) -> Response {
    raw("text/plain; charset=utf-8", value.into())
}

/// An answer that is encoded already.
pub(crate) fn raw(media_type: &'static str, content: String) -> Response {
    ([(CONTENT_TYPE, media_type)], content).into_response()
}

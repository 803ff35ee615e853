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
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], value.into()).into_response()
}

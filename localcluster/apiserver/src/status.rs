//! Errors as clients see them: the `Status` object.

use std::collections::HashSet;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::store::LogError;

/// One wrong field, a cause in a `Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Machine-readable reason, e.g. `FieldValueRequired`.
    pub(crate) reason: &'static str,
    /// Path of the field, e.g. `spec.template.spec.containers[0].image`.
    pub(crate) field: String,
    /// For people, with upstream's wording of the reason in front.
    pub(crate) message: String,
}

impl Cause {
    /// The field must be there.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    /// The field's value is wrong.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message,
        }
    }

    /// The field's value is none of those that are possible.
    pub(crate) fn not_supported(
        field: impl Into<String>,
        value: &Value,
        supported: &[impl AsRef<str>],
    ) -> Self {
        let values: Vec<String> = supported
            .iter()
            .map(|value| Value::from(value.as_ref()).to_string())
            .collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            values.join(", ")
        );
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message,
        }
    }

    /// The value occurs twice where it must be unique.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {}", shown(value));
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message,
        }
    }

    /// The field must not be set.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {detail}"),
        }
    }

    /// The value has the wrong type or format; `found` is the type or the text.
    pub(crate) fn wrong_type(field: impl Into<String>, found: &str, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(&found.into()));
        Self {
            reason: "FieldValueTypeInvalid",
            field: field.into(),
            message,
        }
    }
}

/// A value as upstream prints it in messages: strings quoted, everything else as compact JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// A resource, by the names that errors use.
pub(crate) trait Named {
    /// API group, empty for the core group.
    fn group(&self) -> &str;
    /// `Deployment`
    fn kind(&self) -> &str;
    /// `deployments`
    fn plural(&self) -> &str;
    /// `deployments.apps`
    fn qualified_resource(&self) -> String {
        if self.group().is_empty() {
            self.plural().to_owned()
        } else {
            format!("{}.{}", self.plural(), self.group())
        }
    }
}

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    /// HTTP status code.
    pub(crate) code: StatusCode,
    /// Machine-readable reason, e.g. `NotFound`.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
    /// `details`, null when there are none.
    pub(crate) details: Value,
}

impl ApiError {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = format!("Internal error occurred: {}", message.into());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The path leads nowhere.
    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        );
        error.details = json!({});
        error
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn not_found(kind: &impl Named, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified_resource());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    pub(crate) fn already_exists(kind: &impl Named, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified_resource());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    pub(crate) fn conflict(kind: &impl Named, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.qualified_resource()
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// Somebody else wrote the object since the caller read it.
    pub(crate) fn modified(kind: &impl Named, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(kind: &impl Named, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() {
            format!("{} is forbidden", kind.qualified_resource())
        } else {
            format!("{} \"{name}\" is forbidden", kind.qualified_resource())
        };
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!("{subject}: {why}"),
        )
        .about(kind, name)
    }

    pub(crate) fn invalid(kind: &impl Named, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_named(kind.kind(), kind.group(), name, causes)
    }

    /// As [`Self::invalid`], for a kind that need not be served.
    pub(crate) fn invalid_named(kind: &str, group: &str, name: &str, causes: &[Cause]) -> Self {
        let mut list: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for cause in causes {
            if seen.insert((&cause.field, &cause.message)) {
                list.push(format!("{}: {}", cause.field, cause.message));
            }
        }
        let text = match list.as_slice() {
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let subject = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut error = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{subject} \"{name}\" is invalid: {text}"),
        );
        error.details = json!({
            "name": name,
            "group": group,
            "kind": kind,
            "causes": causes.iter().map(|cause| json!({
                "reason": cause.reason, "message": cause.message, "field": cause.field,
            })).collect::<Vec<_>>(),
        });
        error
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// Adds `details` that name an object.
    pub(crate) fn about(mut self, kind: &impl Named, name: &str) -> Self {
        self.details = json!({ "name": name, "kind": kind.plural() });
        if !kind.group().is_empty() {
            self.details["group"] = kind.group().into();
        }
        self
    }

    /// The `Status` object.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Compacted { wanted, compacted } => {
                Self::expired(format!("too old resource version: {wanted} ({compacted})"))
            }
            LogError::Future { wanted, current } => {
                let mut error = Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "Timeout",
                    format!("Too large resource version: {wanted}, current: {current}"),
                );
                error.details = json!({
                    "causes": [{
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }],
                    "retryAfterSeconds": 1,
                });
                error
            }
            LogError::Exists(key) | LogError::Missing(key) | LogError::Conflict { key, .. } => {
                Self::internal(format!("unexpected change of {key}"))
            }
        }
    }
}

impl From<crate::store::disk::DiskError> for ApiError {
    fn from(error: crate::store::disk::DiskError) -> Self {
        Self::internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.to_status().to_string();
        let headers = [(http::header::CONTENT_TYPE, "application/json")];
        (self.code, headers, body).into_response()
    }
}

//! Decoding request bodies.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::ApiError;
use super::request::ResourceRequest;
use super::server::Call;
use crate::object;
use crate::registry::{Kind, events};

/// The media type of the body without parameters, JSON when none is named.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = header
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    if media_type.is_empty() {
        "application/json".to_owned()
    } else {
        media_type
    }
}

/// The answer to a media type that is not understood. `supported` is what would be.
pub(crate) fn unsupported_media_type(supported: &[&str]) -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        ),
    )
}

/// The body as a value, from JSON or YAML.
pub(crate) fn decode(call: &Call) -> Result<Value, ApiError> {
    match media_type(&call.headers).as_str() {
        "application/json" => parse_json(&call.body),
        "application/yaml" => parse_yaml(&call.body),
        _ => Err(unsupported_media_type(&[
            "application/json",
            "application/yaml",
        ])),
    }
}

/// As [`decode`], for a body that may be missing (`DeleteOptions`).
pub(crate) fn decode_optional(call: &Call) -> Result<Value, ApiError> {
    if call.body.is_empty() {
        Ok(Value::Null)
    } else {
        decode(call)
    }
}

pub(crate) fn parse_json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type JSON): {error}"
        ))
    })
}

pub(crate) fn parse_yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_yaml::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("error parsing YAML: {error}")))
}

/// Checks that a decoded object is of the kind and at the place that the path names, and fills in what
/// the path already says.
pub(crate) fn check_identity(
    kind: &Kind,
    request: &ResourceRequest,
    object: &mut Value,
) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the request body is not an object"));
    }
    let (api_version, found_kind) = (
        object::text(object, "/apiVersion"),
        object::text(object, "/kind"),
    );
    let wanted = kind.api_version();
    if (!found_kind.is_empty() && found_kind != kind.kind)
        || (!api_version.is_empty() && api_version != wanted)
    {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}, Kind={found_kind}) does not match the expected API version ({wanted}, Kind={})",
            kind.kind
        )));
    }
    if object
        .get("metadata")
        .is_some_and(|metadata| !metadata.is_object() && !metadata.is_null())
    {
        return Err(ApiError::bad_request("metadata is not an object"));
    }
    let namespace = object::namespace(object).to_owned();
    if kind.namespaced && !namespace.is_empty() && namespace != request.namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request: {namespace} is not {}",
            request.namespace
        )));
    }
    let name = object::name(object).to_owned();
    if !request.name.is_empty() && !name.is_empty() && name != request.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name
        )));
    }
    if events::is_view(kind) {
        events::from_view(object);
    }
    let metadata = object::metadata(object);
    if kind.namespaced {
        metadata.insert("namespace".to_owned(), request.namespace.clone().into());
    } else {
        metadata.remove("namespace");
    }
    if !request.name.is_empty() {
        metadata.insert("name".to_owned(), request.name.clone().into());
    }
    let fields = object::fields(object);
    fields.insert("kind".to_owned(), kind.kind.clone().into());
    fields.insert("apiVersion".to_owned(), wanted.into());
    Ok(())
}

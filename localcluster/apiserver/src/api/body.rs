//! Decoding request bodies into objects of a kind.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::parse::{self, Parsed};
use super::protobuf;
use super::request::ResourceRequest;
use super::server::Call;
use crate::object;
use crate::registry::{Behaviour, Kind, events};
use crate::schema::conform::{self, Misfits};
use crate::status::ApiError;

/// The media type of the body without parameters, JSON when none is named.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let header = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = header
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match media_type.trim() {
        "" => "application/json".to_owned(),
        named => named.to_lowercase(),
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
pub(crate) fn decode(call: &Call) -> Result<Parsed, ApiError> {
    match media_type(&call.headers).as_str() {
        "application/json" => parse_json(&call.body),
        "application/yaml" => parse_yaml(&call.body),
        protobuf::MEDIA_TYPE => protobuf::decode(&call.body)
            .map(|value| Parsed {
                value,
                duplicates: Vec::new(),
            })
            .map_err(|why| ApiError::bad_request(format!("error decoding protobuf: {why}"))),
        _ => Err(unsupported_media_type(&[
            "application/json",
            "application/yaml",
            protobuf::MEDIA_TYPE,
        ])),
    }
}

/// As [`decode`], for a body that may be missing (`DeleteOptions`).
pub(crate) fn decode_optional(call: &Call) -> Result<Value, ApiError> {
    if call.body.is_empty() {
        Ok(Value::Null)
    } else {
        decode(call).map(|parsed| parsed.value)
    }
}

pub(crate) fn parse_json(bytes: &[u8]) -> Result<Parsed, ApiError> {
    parse::json(bytes).map_err(|error| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type JSON): {error}"
        ))
    })
}

pub(crate) fn parse_yaml(bytes: &[u8]) -> Result<Parsed, ApiError> {
    parse::yaml(bytes)
        .map_err(|error| ApiError::bad_request(format!("error parsing YAML: {error}")))
}

/// The object that the body holds, checked for being one of `kind` at the place that the path names.
pub(crate) fn decode_object(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Value, ApiError> {
    let Parsed {
        value: mut object,
        duplicates,
    } = decode(call)?;
    check_identity(kind, request, &mut object)?;
    fit(call, kind, &mut object, &duplicates).map_err(|message| {
        ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {message}",
            kind.kind, kind.version, kind.kind
        ))
    })?;
    Ok(object)
}

/// Fits an object to its kind. What is unknown or double is dropped, and is an error, a warning or
/// nothing, as the request's `fieldValidation` says; the error is a message.
pub(crate) fn fit(
    call: &Call,
    kind: &Kind,
    object: &mut Value,
    duplicates: &[String],
) -> Result<(), String> {
    let misfits = match &kind.behaviour {
        Behaviour::Builtin(_) => conform::builtin(kind.schema(), object),
        Behaviour::Custom(_) => {
            let metadata = conform::metadata(object);
            let mut rest = conform::prune(kind.schema(), object);
            rest.unknown.splice(..0, metadata.unknown);
            Misfits {
                undecodable: metadata.undecodable,
                ..rest
            }
        }
    };
    if let Some(message) = misfits.undecodable {
        return Err(message);
    }
    let unknown = misfits
        .unknown
        .iter()
        .map(|path| format!("unknown field \"{path}\""));
    let problems: Vec<String> = unknown
        .chain(
            duplicates
                .iter()
                .map(|path| format!("duplicate field \"{path}\"")),
        )
        .collect();
    match call.query.get("fieldValidation") {
        _ if problems.is_empty() => {}
        Some("Strict") => return Err(format!("strict decoding error: {}", problems.join(", "))),
        Some("Ignore") => {}
        _ => problems.into_iter().for_each(|problem| call.warn(problem)),
    }
    Ok(())
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
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let name = object::name(object).to_owned();
    if !request.name.is_empty() && !name.is_empty() && name != request.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name
        )));
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

/// Turns what clients send into what is stored, for the kind whose objects are stored as another.
pub(crate) fn to_stored(kind: &Kind, object: &mut Value) {
    if events::is_view(kind) {
        events::from_view(object);
    }
}

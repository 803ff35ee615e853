//! `serviceaccounts/token`: issuing tokens.

use axum::response::Response;
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::request::ResourceRequest;
use super::server::Call;
use super::{body, render};
use crate::object;
use crate::registry::Kind;
use crate::status::{ApiError, Cause};
use crate::tokens::{Bound, Claims, ISSUER, Reference};

/// Lifetime of a token when none is asked for, in seconds.
const DEFAULT_LIFETIME: i64 = 3600;

/// Shortest lifetime, as upstream, in seconds.
const MIN_LIFETIME: i64 = 600;

/// Answers `create` of a `TokenRequest`.
pub(crate) fn create(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let mut answer = body::decode(call)?.value;
    let account = call
        .server
        .store
        .get(&kind.key(&request.namespace, &request.name))
        .ok_or_else(|| ApiError::not_found(kind, &request.name))?;
    let lifetime = match &answer["spec"]["expirationSeconds"] {
        Value::Null => DEFAULT_LIFETIME,
        seconds => seconds
            .as_i64()
            .filter(|&wanted| wanted >= MIN_LIFETIME)
            .ok_or_else(|| {
                let cause = Cause::invalid(
                    "spec.expirationSeconds",
                    seconds,
                    "may not specify a duration less than 10 minutes",
                );
                ApiError::invalid_named(
                    "TokenRequest",
                    "authentication.k8s.io",
                    &request.name,
                    &[cause],
                )
            })?,
    };
    let now = call.server.clock.now();
    let expires = now
        .checked_add(SignedDuration::from_secs(lifetime))
        .map_err(|_| {
            ApiError::bad_request("spec.expirationSeconds: the token would never expire")
        })?;
    let mut audiences: Vec<String> = answer["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: format!(
            "system:serviceaccount:{}:{}",
            request.namespace, request.name
        ),
        aud: audiences.clone(),
        iat: now.as_second(),
        nbf: now.as_second(),
        exp: expires.as_second(),
        kubernetes: Bound {
            namespace: request.namespace.clone(),
            serviceaccount: Reference {
                name: request.name.clone(),
                uid: object::uid(&account.value).to_owned(),
            },
            pod: bound_pod(call, request, &answer["spec"]["boundObjectRef"])?,
        },
    };
    let fields = object::fields(&mut answer);
    fields.insert("kind".to_owned(), "TokenRequest".into());
    fields.insert("apiVersion".to_owned(), "authentication.k8s.io/v1".into());
    let spec = object::child(fields, "spec");
    spec.insert("audiences".to_owned(), json!(audiences));
    spec.insert("expirationSeconds".to_owned(), json!(lifetime));
    let expires = expires.round(jiff::Unit::Second).unwrap_or(expires);
    fields.insert(
        "status".to_owned(),
        json!({ "token": call.server.tokens.sign(&claims), "expirationTimestamp": expires.to_string() }),
    );
    Ok(render::json(StatusCode::CREATED, &answer))
}

/// The pod that the token is to end with.
fn bound_pod(
    call: &Call,
    request: &ResourceRequest,
    reference: &Value,
) -> Result<Option<Reference>, ApiError> {
    if reference.is_null() {
        return Ok(None);
    }
    if reference["kind"] != "Pod" {
        return Err(ApiError::bad_request(format!(
            "cannot bind token to object of type {}",
            reference["kind"]
        )));
    }
    let name = reference["name"].as_str().unwrap_or_default();
    let pods = call.server.catalog().find("", "v1", "pods")?;
    let pod = call
        .server
        .store
        .get(&pods.key(&request.namespace, name))
        .ok_or_else(|| ApiError::not_found(&*pods, name))?;
    let uid = object::uid(&pod.value).to_owned();
    if reference["uid"]
        .as_str()
        .is_some_and(|wanted| !wanted.is_empty() && wanted != uid)
    {
        return Err(ApiError::conflict(
            &*pods,
            name,
            "the UID in the bound object reference does not match",
        ));
    }
    Ok(Some(Reference {
        name: name.to_owned(),
        uid,
    }))
}

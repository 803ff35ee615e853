//! The `scale` subresource: the replicas of any kind that has them, in one form.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::managers::Ownership;
use super::request::{ResourceRequest, Verb};
use super::server::Call;
use super::{body, render, update};
use crate::object;
use crate::patch;
use crate::registry::{Kind, ScalePaths};
use crate::schema::{builtin, conform};
use crate::status::{ApiError, Cause};

/// Answers `get`, `update` and `patch`.
pub(crate) async fn answer(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let paths = kind.scale.as_ref().ok_or_else(ApiError::no_such_path)?;
    let object = match request.verb {
        Verb::Get => {
            let record = call
                .server
                .store
                .get(&kind.key(&request.namespace, &request.name));
            let record = record.ok_or_else(|| ApiError::not_found(kind, &request.name))?;
            (*record.value).clone()
        }
        Verb::Update => {
            let sent = body::decode(call)?.value;
            change(call, kind, request, paths, |_| Ok(sent.clone())).await?
        }
        Verb::Patch => match body::media_type(&call.headers).as_str() {
            "application/json-patch+json" => {
                change(call, kind, request, paths, |scale| {
                    patch::json::apply(scale, &call.body)
                        .map_err(|error| ApiError::bad_request(error.to_string()))
                })
                .await?
            }
            // A scale has no lists, so both merge patches mean the same.
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                let sent = body::parse_json(&call.body)?.value;
                change(call, kind, request, paths, |scale| {
                    Ok(patch::json::merge(scale, &sent))
                })
                .await?
            }
            _ => {
                return Err(body::unsupported_media_type(&[
                    "application/json-patch+json",
                    "application/merge-patch+json",
                    "application/strategic-merge-patch+json",
                ]));
            }
        },
        _ => return Err(ApiError::method_not_allowed()),
    };
    Ok(render::json(StatusCode::OK, &view(paths, &object)))
}

async fn change(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
    paths: &ScalePaths,
    successor: impl Fn(&Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    update::change(call, kind, request, Ownership::Recorded, |current| {
        let mut scale = successor(&view(paths, current))?;
        let misfits = conform::builtin(builtin::schema("autoscaling", "v1", "Scale"), &mut scale);
        if let Some(message) = misfits.undecodable {
            return Err(ApiError::bad_request(message));
        }
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &json!(replicas),
                "must be greater than or equal to 0",
            );
            return Err(ApiError::invalid_named(
                "Scale",
                "autoscaling",
                &request.name,
                &[cause],
            ));
        }
        let mut object = current.clone();
        set(&mut object, &paths.spec_replicas, replicas.into());
        // The client's precondition, if it has one.
        let metadata = object::metadata(&mut object);
        metadata.remove("resourceVersion");
        if let Some(version) = scale["metadata"]
            .get("resourceVersion")
            .filter(|_| request.verb == Verb::Update)
        {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
        Ok(object)
    })
    .await
}

fn view(paths: &ScalePaths, object: &Value) -> Value {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut status = json!({ "replicas": number(&paths.status_replicas) });
    let selector = match &paths.label_selector {
        Some(pointer) => object::text(object, pointer).to_owned(),
        None => crate::registry::columns::selector_text(&object["spec"]["selector"]),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": number(&paths.spec_replicas) },
        "status": status,
    })
}

/// Sets the value at a pointer, making objects on the way.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut names: Vec<&str> = pointer.split('/').filter(|name| !name.is_empty()).collect();
    let Some(last) = names.pop() else { return };
    let mut fields = object::fields(object);
    for name in names {
        fields = object::child(fields, name);
    }
    fields.insert(last.to_owned(), value);
}

//! Server-side apply, and who owns what after any other write.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::managers::{self, MAX_MANAGER, Ownership};
use super::request::ResourceRequest;
use super::server::Call;
use super::{body, create, render, update};
use crate::object;
use crate::patch::managers::{ApplyError, Conflict, Manager, Write};
use crate::registry::{Behaviour, Kind};
use crate::schema::conform;
use crate::status::{ApiError, Cause};

/// Answers a `patch` of the apply type.
pub(crate) async fn apply(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let writer = Manager {
        name: applier(call)?,
        applies: true,
        api_version: kind.api_version(),
        subresource: request.subresource.clone(),
    };
    let config = config(call, kind, request)?;
    let force = call.query.flag("force");
    let merge = |live: &Value| -> Result<Value, ApiError> {
        let mut managers = managers::read(live)?;
        let now = call.server.clock.now_rfc3339();
        let write = Write {
            schema: kind.schema(),
            has_status: kind.status,
            writer: &writer,
            now: &now,
        };
        let mut merged =
            managers
                .apply(live, &config, &write, force)
                .map_err(|error| match error {
                    ApplyError::Patch(error) => ApiError::bad_request(format!(
                        "failed to create typed patch object ({}/{}; {}, Kind={}): {error}",
                        request.namespace,
                        request.name,
                        kind.api_version(),
                        kind.kind
                    )),
                    ApplyError::Conflicts(conflicts) => conflict(&conflicts),
                })?;
        managers.write(&mut merged);
        body::check_identity(kind, request, &mut merged)?;
        Ok(merged)
    };
    loop {
        let key = kind.key(&request.namespace, &request.name);
        if call.server.store.get(&key).is_some() {
            let applied = update::change(call, kind, request, Ownership::Given, merge).await?;
            return Ok(render::json(StatusCode::OK, &kind.present(&applied)));
        }
        if !request.subresource.is_empty() || !object::uid(&config).is_empty() {
            return Err(ApiError::not_found(kind, &request.name));
        }
        let object = merge(&json!({}))?;
        match create::create_object(call, kind, object, Ownership::Given).await {
            Ok(created) => {
                return Ok(render::json(StatusCode::CREATED, &kind.present(&created)));
            }
            // Somebody created it meanwhile.
            Err(error) if error.reason == "AlreadyExists" => {}
            Err(error) => return Err(error),
        }
    }
}

/// The name that an apply must give.
fn applier(call: &Call) -> Result<String, ApiError> {
    let invalid =
        |cause: Cause| ApiError::invalid_named("PatchOptions", "meta.k8s.io", "", &[cause]);
    match call.query.get("fieldManager") {
        None => Err(invalid(Cause::required(
            "fieldManager",
            "is required for apply patch",
        ))),
        Some(name) if name.len() > MAX_MANAGER => Err(invalid(Cause::invalid(
            "fieldManager",
            &json!(name),
            "must not be longer than 128 characters",
        ))),
        Some(name) => Ok(name.to_owned()),
    }
}

/// The applied object, of which only what the subresource can change counts.
fn config(call: &Call, kind: &Kind, request: &ResourceRequest) -> Result<Value, ApiError> {
    let parsed = body::parse_yaml(&call.body)?;
    let mut config = parsed.value;
    for field in ["apiVersion", "kind"] {
        if object::text(&config, &format!("/{field}")).is_empty() {
            return Err(ApiError::bad_request(format!(
                "the applied object has no {field}"
            )));
        }
    }
    body::check_identity(kind, request, &mut config)?;
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let misfit = |why: &str| {
        ApiError::bad_request(format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {why}",
            request.namespace,
            request.name,
            kind.api_version(),
            kind.kind
        ))
    };
    if matches!(kind.behaviour, Behaviour::Builtin(_)) {
        // What is applied must be known, whatever the request says of unknown fields.
        let unknown = conform::builtin(kind.schema(), &mut config.clone()).unknown;
        if let Some(path) = unknown.first() {
            return Err(misfit(&format!(".{path}: field not declared in schema")));
        }
    }
    body::fit(call, kind, &mut config, &parsed.duplicates).map_err(|message| misfit(&message))?;
    let fields = object::fields(&mut config);
    if request.subresource == "status" {
        fields.retain(|name, _| {
            matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status")
        });
        let metadata = object::metadata(&mut config);
        metadata.retain(|name, _| {
            matches!(
                name.as_str(),
                "name" | "namespace" | "uid" | "resourceVersion"
            )
        });
    } else if kind.status {
        fields.remove("status");
    }
    Ok(config)
}

fn conflict(conflicts: &[Conflict]) -> ApiError {
    let text = match conflicts {
        [only] => format!("conflict with {}: {}", only.manager, only.field),
        many => {
            let mut lines = Vec::new();
            let mut last = "";
            for conflict in many {
                if conflict.manager != last {
                    lines.push(format!("conflicts with {}:", conflict.manager));
                    last = &conflict.manager;
                }
                lines.push(format!("- {}", conflict.field));
            }
            lines.join("\n")
        }
    };
    let plural = if conflicts.len() == 1 { "" } else { "s" };
    let message = format!(
        "Apply failed with {} conflict{plural}: {text}",
        conflicts.len()
    );
    let mut error = ApiError::new(StatusCode::CONFLICT, "Conflict", message);
    let cause = |conflict: &Conflict| {
        json!({
            "reason": "FieldManagerConflict",
            "message": format!("conflict with {}", conflict.manager),
            "field": conflict.field,
        })
    };
    error.details = json!({ "causes": conflicts.iter().map(cause).collect::<Vec<_>>() });
    error
}

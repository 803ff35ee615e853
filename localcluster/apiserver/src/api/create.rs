//! `create`.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::managers::{self, Ownership};
use super::request::ResourceRequest;
use super::server::Call;
use super::{body, definitions, render};
use crate::admission::{self, Write};
use crate::object;
use crate::registry::{Kind, meta, notices, prepare};
use crate::status::ApiError;
use crate::store::Expect;

/// Answers `create`.
pub(crate) async fn create(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    if !request.name.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let object = body::decode_object(call, kind, request)?;
    let created = create_object(call, kind, object, Ownership::Recorded).await?;
    Ok(render::json(StatusCode::CREATED, &kind.present(&created)))
}

/// Creates `object`, whose kind and namespace are already checked.
pub(crate) async fn create_object(
    call: &Call,
    kind: &Kind,
    mut object: Value,
    ownership: Ownership,
) -> Result<Value, ApiError> {
    if !object::resource_version(&object).is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    definitions::check_creation(&call.server, kind)?;
    if kind.namespaced {
        check_namespace(call, kind, &object)?;
    }
    if kind.status {
        object::fields(&mut object).remove("status");
    }
    meta::initialise(kind, &mut object, &call.server.clock);
    body::to_stored(kind, &mut object);
    prepare(
        (&call.server.store, &call.server.clock),
        kind,
        &mut object,
        None,
    )?;
    if ownership == Ownership::Recorded {
        object::metadata(&mut object).remove("managedFields");
        managers::record_update(call, kind, "", &json!({}), &mut object)?;
    }
    notices(kind, &object, None)
        .into_iter()
        .for_each(|text| call.warn(text));
    let name = object::name(&object).to_owned();
    let key = kind.key(object::namespace(&object), &name);
    let store = &call.server.store;
    let dry_run = call.query.dry_run()?;
    admission::check(
        &call.server,
        &Write {
            user: &call.user,
            kind,
            subresource: "",
            dry_run,
            old: None,
            new: Some(&object),
        },
    )?;
    if dry_run {
        return match store.get(&key) {
            Some(_) => Err(ApiError::already_exists(kind, &name)),
            None => Ok(object),
        };
    }
    let written = call.server.put(kind, &key, object, Expect::Absent).await;
    let record = written.map_err(|error| error.answer(kind, &name))?;
    Ok((*record.value).clone())
}

/// Objects are created only in namespaces that exist and are to stay.
fn check_namespace(call: &Call, kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let namespace = object::namespace(object);
    let namespaces = call.server.catalog().find("", "v1", "namespaces")?;
    let record = call
        .server
        .store
        .get(&namespaces.key("", namespace))
        .ok_or_else(|| ApiError::not_found(&*namespaces, namespace))?;
    if object::is_deleting(&record.value) {
        let mut error = ApiError::forbidden(
            kind,
            object::name(object),
            &format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ),
        );
        error.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        return Err(error);
    }
    Ok(())
}

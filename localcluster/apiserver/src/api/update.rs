//! `update`, and the read-change-write cycle that all changes of existing objects share.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::managers::{self, Ownership};
use super::request::ResourceRequest;
use super::server::Call;
use super::{body, create, render};
use crate::admission::{self, Write};
use crate::object;
use crate::registry::{Behaviour, Kind, meta, notices, prepare};
use crate::status::{ApiError, Cause};
use crate::store::Expect;

/// Answers `update`.
pub(crate) async fn update(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let object = body::decode_object(call, kind, request)?;
    let exists = call
        .server
        .store
        .get(&kind.key(&request.namespace, &request.name))
        .is_some();
    if !exists && request.subresource.is_empty() && creates_on_update(kind) {
        let created = create::create_object(call, kind, object, Ownership::Recorded).await?;
        return Ok(render::json(StatusCode::CREATED, &kind.present(&created)));
    }
    check_conditional(kind, &object)?;
    let replace = |_: &Value| Ok(object.clone());
    let updated = change(call, kind, request, Ownership::Recorded, replace).await?;
    Ok(render::json(StatusCode::OK, &kind.present(&updated)))
}

/// Returns whether `PUT` of an object that does not exist creates it.
fn creates_on_update(kind: &Kind) -> bool {
    kind.is("coordination.k8s.io", "leases") || kind.is("", "events")
}

/// Custom objects are replaced only by somebody who says which version they read.
fn check_conditional(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let custom = matches!(kind.behaviour, Behaviour::Custom(_));
    if !custom || !object::resource_version(object).is_empty() {
        return Ok(());
    }
    let cause = Cause::invalid(
        "metadata.resourceVersion",
        &json!(0),
        "must be specified for an update",
    );
    Err(ApiError::invalid(kind, object::name(object), &[cause]))
}

/// Replaces an object by what `successor` makes of it, and repeats that when somebody else wrote it
/// meanwhile. A successor that names the version it was made from is refused then.
pub(crate) async fn change(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
    ownership: Ownership,
    successor: impl Fn(&Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let store = &call.server.store;
    let key = kind.key(&request.namespace, &request.name);
    let dry_run = call.query.dry_run()?;
    loop {
        let record = store
            .get(&key)
            .ok_or_else(|| ApiError::not_found(kind, &request.name))?;
        let old = &record.value;
        let mut new = successor(&kind.present(old))?;
        body::to_stored(kind, &mut new);
        check_preconditions(kind, request, old, &new)?;
        settle(kind, &request.subresource, old, &mut new)?;
        prepare(
            (&call.server.store, &call.server.clock),
            kind,
            &mut new,
            Some(old),
        )?;
        meta::count_generation(kind, old, &mut new);
        if ownership == Ownership::Recorded {
            managers::record_update(call, kind, &request.subresource, old, &mut new)?;
        }
        if request.subresource.is_empty() {
            notices(kind, &new, Some(old))
                .into_iter()
                .for_each(|text| call.warn(text));
        }
        admission::check(
            &call.server,
            &Write {
                user: &call.user,
                kind,
                subresource: &request.subresource,
                dry_run,
                old: Some(old),
                new: Some(&new),
            },
        )?;
        if unchanged(old, &new) {
            return Ok((**old).clone());
        }
        if dry_run {
            return Ok(new);
        }
        let written = if object::is_deleting(&new) && may_go(&new) {
            call.server.remove(kind, &key, new, record.revision).await
        } else {
            call.server
                .put(kind, &key, new, Expect::Revision(record.revision))
                .await
        };
        match written {
            Ok(record) => return Ok((*record.value).clone()),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.answer(kind, &request.name)),
        }
    }
}

/// Checks the uid and resource version that the successor names, if it does.
fn check_preconditions(
    kind: &Kind,
    request: &ResourceRequest,
    old: &Value,
    new: &Value,
) -> Result<(), ApiError> {
    let uid = object::uid(new);
    if !uid.is_empty() && uid != object::uid(old) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            object::uid(old)
        );
        return Err(ApiError::conflict(kind, &request.name, &why));
    }
    let version = object::resource_version(new);
    if !version.is_empty() && version != object::resource_version(old) {
        return Err(ApiError::modified(kind, &request.name));
    }
    Ok(())
}

/// Makes the successor what may be stored: fields outside the subresource and those the server owns come
/// from the old object.
fn settle(kind: &Kind, subresource: &str, old: &Value, new: &mut Value) -> Result<(), ApiError> {
    match subresource {
        "status" => {
            let mut kept = old.clone();
            object::copy_field(new, &mut kept, "status");
            *new = kept;
        }
        "finalize" => {
            let mut kept = old.clone();
            let finalizers = new["spec"]
                .get("finalizers")
                .cloned()
                .unwrap_or_else(|| json!([]));
            object::child(object::fields(&mut kept), "spec")
                .insert("finalizers".to_owned(), finalizers);
            *new = kept;
        }
        _ => {
            if kind.status {
                object::copy_field(old, new, "status");
            }
            if kind.is("", "namespaces") {
                object::copy_field(old, new, "spec");
            }
        }
    }
    meta::inherit(old, new);
    let causes = meta::check_update(old, new);
    if !causes.is_empty() {
        return Err(ApiError::invalid(kind, object::name(old), &causes));
    }
    Ok(())
}

fn unchanged(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return old == new;
    };
    let relevant = |key: &String| key != "kind" && key != "apiVersion";
    old.iter()
        .filter(|(key, _)| relevant(key))
        .eq(new.iter().filter(|(key, _)| relevant(key)))
}

/// Returns whether nothing holds back an object that is being deleted.
pub(crate) fn may_go(object: &Value) -> bool {
    let grace = object
        .pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    let held_by_spec = object
        .pointer("/spec/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|list| object::text(object, "/kind") == "Namespace" && !list.is_empty());
    object::finalizers(object).is_empty() && grace.unwrap_or(0) == 0 && !held_by_spec
}

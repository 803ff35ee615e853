//! `delete` and `deletecollection`.

use axum::response::Response;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::request::ResourceRequest;
use super::server::Call;
use super::update::may_go;
use super::{body, definitions, render};
use crate::admission::{self, Write};
use crate::object;
use crate::registry::Kind;
use crate::status::{ApiError, Cause};
use crate::store::Expect;

/// `DeleteOptions`, from the body or the query.
struct Options {
    grace: Option<i64>,
    propagation: Propagation,
    uid: Option<String>,
    resource_version: Option<String>,
    dry_run: bool,
}

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    /// They are collected afterwards.
    Background,
    /// The object stays until they are gone.
    Foreground,
    /// They stay and lose their owner.
    Orphan,
}

impl Options {
    /// What a deletion without options is.
    fn background() -> Self {
        Self {
            grace: None,
            propagation: Propagation::Background,
            uid: None,
            resource_version: None,
            dry_run: false,
        }
    }

    fn read(call: &Call) -> Result<Self, ApiError> {
        let body = body::decode_optional(call)?;
        let from_query = |key: &str| call.query.get(key).map(str::to_owned);
        let policy = body["propagationPolicy"]
            .as_str()
            .map(str::to_owned)
            .or_else(|| from_query("propagationPolicy"));
        let orphan =
            body["orphanDependents"].as_bool() == Some(true) || call.query.flag("orphanDependents");
        let propagation = match policy.as_deref() {
            None if orphan => Propagation::Orphan,
            None | Some("Background") => Propagation::Background,
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some(other) => {
                let cause = Cause::not_supported(
                    "propagationPolicy",
                    &json!(other),
                    &["Foreground", "Background", "Orphan"],
                );
                return Err(ApiError::invalid_named(
                    "DeleteOptions",
                    "meta.k8s.io",
                    "",
                    &[cause],
                ));
            }
        };
        let grace = match body["gracePeriodSeconds"].as_i64() {
            Some(seconds) => Some(seconds),
            None => call
                .query
                .number("gracePeriodSeconds")?
                .and_then(|n| i64::try_from(n).ok()),
        };
        let precondition = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
        Ok(Self {
            grace,
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: call.query.dry_run()?
                || body["dryRun"]
                    .as_array()
                    .is_some_and(|list| !list.is_empty()),
        })
    }

    fn check(&self, kind: &Kind, object: &Value) -> Result<(), ApiError> {
        let failed = |what: &str, wanted: &str, found: &str| {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            ApiError::conflict(kind, object::name(object), &why)
        };
        if let Some(wanted) = self
            .uid
            .as_deref()
            .filter(|&uid| uid != object::uid(object))
        {
            return Err(failed("UID", wanted, object::uid(object)));
        }
        let version = object::resource_version(object);
        if let Some(wanted) = self
            .resource_version
            .as_deref()
            .filter(|&wanted| wanted != version)
        {
            return Err(failed("ResourceVersion", wanted, version));
        }
        Ok(())
    }
}

/// Answers `delete`.
pub(crate) async fn delete(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let options = Options::read(call)?;
    let key = kind.key(&request.namespace, &request.name);
    let (object, gone) = delete_key(call, kind, &key, &request.name, &options).await?;
    if gone && !kind.is("", "pods") {
        let mut details =
            json!({ "name": request.name, "kind": kind.plural, "uid": object::uid(&object) });
        if !kind.group.is_empty() {
            details["group"] = kind.group.clone().into();
        }
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": details,
        });
        return Ok(render::json(StatusCode::OK, &status));
    }
    Ok(render::json(StatusCode::OK, &kind.present(&object)))
}

/// Answers `deletecollection`.
pub(crate) async fn delete_collection(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let options = Options::read(call)?;
    let selection = call.selection(kind)?;
    let page = call
        .server
        .store
        .list(&kind.prefix(&request.namespace), None, 0, None)?;
    let mut items = Vec::new();
    for record in page.records {
        if !selection.matches(kind, &record.value) {
            continue;
        }
        match delete_key(
            call,
            kind,
            &record.key,
            object::name(&record.value),
            &options,
        )
        .await
        {
            Ok((object, _)) => items.push(kind.present(&object)),
            // Somebody else deleted it first.
            Err(error) if error.code == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    let list = json!({
        "kind": kind.list_kind,
        "apiVersion": kind.api_version(),
        "metadata": { "resourceVersion": page.revision.to_string() },
        "items": items,
    });
    Ok(render::json(StatusCode::OK, &list))
}

/// Deletes an object, or marks it when something holds it back; says which.
async fn delete_key(
    call: &Call,
    kind: &Kind,
    key: &str,
    name: &str,
    options: &Options,
) -> Result<(Value, bool), ApiError> {
    loop {
        let record = call
            .server
            .store
            .get(key)
            .ok_or_else(|| ApiError::not_found(kind, name))?;
        options.check(kind, &record.value)?;
        admission::check(
            &call.server,
            &Write {
                user: &call.user,
                kind,
                subresource: "",
                dry_run: options.dry_run,
                old: Some(&record.value),
                new: None,
            },
        )?;
        let mut marked = mark(kind, &record.value, options, call.server.clock.now());
        let definition = kind.is("apiextensions.k8s.io", "customresourcedefinitions");
        if definition {
            definitions::begin(&call.server, &mut marked);
        }
        let goes = may_go(&marked);
        if options.dry_run || (!goes && marked == *record.value) {
            return Ok((marked, goes));
        }
        let written = if goes {
            call.server.remove(kind, key, marked, record.revision).await
        } else {
            call.server
                .put(kind, key, marked, Expect::Revision(record.revision))
                .await
        };
        match written {
            Ok(record) => {
                if definition {
                    delete_objects_of(call, name).await?;
                }
                return Ok(((*record.value).clone(), goes));
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.answer(kind, name)),
        }
    }
}

/// Deletes the objects of a definition, and the definition if nothing holds any of them.
async fn delete_objects_of(call: &Call, name: &str) -> Result<(), ApiError> {
    let catalog = call.server.catalog();
    let options = Options::background();
    if let Some(kind) = catalog.iter().find(|kind| kind.definition() == Some(name)) {
        for record in call.server.store.scan(&kind.prefix("")) {
            let object = object::name(&record.value);
            let deleted = Box::pin(delete_key(call, kind, &record.key, object, &options));
            match deleted.await {
                Err(error) if error.reason != "NotFound" => return Err(error),
                _ => {}
            }
        }
    }
    call.server
        .release_definition(name)
        .await
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// The object with deletion begun.
fn mark(kind: &Kind, object: &Value, options: &Options, now: Timestamp) -> Value {
    let mut marked = object.clone();
    let grace = grace_period(kind, object, options);
    let already = object::is_deleting(object);
    let counts = kind.counts_generations();
    let metadata = object::metadata(&mut marked);
    let previous = metadata
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    // A second deletion can only hurry the first.
    if !already || previous.is_some_and(|previous| grace < previous) {
        let at = now
            .checked_add(SignedDuration::from_secs(grace))
            .unwrap_or(now);
        let at = at.round(jiff::Unit::Second).unwrap_or(at);
        metadata.insert("deletionTimestamp".to_owned(), at.to_string().into());
        metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        if counts && !already {
            let generation = metadata
                .get("generation")
                .and_then(Value::as_i64)
                .unwrap_or(0);
            metadata.insert("generation".to_owned(), (generation + 1).into());
        }
    }
    let finalizer = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Orphan => Some("orphan"),
    };
    let mut finalizers = object::finalizers(object);
    finalizers.retain(|&name| name != "foregroundDeletion" && name != "orphan" || already);
    finalizers.extend(finalizer.filter(|name| !finalizers.contains(name)));
    let finalizers: Vec<Value> = finalizers.into_iter().map(Into::into).collect();
    let metadata = object::metadata(&mut marked);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
    if kind.is("", "namespaces") {
        object::child(object::fields(&mut marked), "status")
            .insert("phase".to_owned(), "Terminating".into());
    }
    marked
}

/// Seconds until the object may go. Only pods are given any: those that run somewhere and have not ended.
fn grace_period(kind: &Kind, object: &Value, options: &Options) -> i64 {
    if !kind.is("", "pods") {
        return 0;
    }
    let phase = object::text(object, "/status/phase");
    let runs = !object::text(object, "/spec/nodeName").is_empty();
    if !runs || phase == "Failed" || phase == "Succeeded" {
        return 0;
    }
    let wanted = options.grace.or_else(|| {
        object
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
    });
    wanted.unwrap_or(30).max(0)
}

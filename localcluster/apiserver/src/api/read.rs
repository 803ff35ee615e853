//! `get` and `list`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use super::render;
use super::represent::Form;
use super::request::ResourceRequest;
use super::server::Call;
use crate::registry::Kind;
use crate::status::ApiError;

/// Answers `get`.
pub(crate) fn get(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    not_older_than(call)?;
    let record = call
        .server
        .store
        .get(&kind.key(&request.namespace, &request.name))
        .ok_or_else(|| ApiError::not_found(kind, &request.name))?;
    let form = Form::negotiate(call)?;
    Ok(render::json(
        StatusCode::OK,
        &form.object(kind, &record.value, call.server.clock.now()),
    ))
}

/// Answers `list`.
pub(crate) fn list(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let form = Form::negotiate(call)?;
    let selection = call.selection(kind)?;
    let limit = usize::try_from(call.query.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let position = match call.query.get("continue") {
        Some(token) => Some(Continue::decode(token)?),
        None => {
            not_older_than(call)?;
            None
        }
    };
    let at = match &position {
        Some(position) => Some(position.revision),
        None if call.query.get("resourceVersionMatch") == Some("Exact") => resource_version(call)?,
        None => None,
    };
    let prefix = kind.prefix(&request.namespace);
    let mut after = position.map(|position| position.after);
    let mut items = Vec::new();
    // Pages are cut after selection, so a selective list may need several pages of the store.
    let (revision, next, remaining) = loop {
        let page = call
            .server
            .store
            .list(&prefix, after.as_deref(), limit, at)?;
        let last = page.records.last().map(|record| record.key.to_string());
        let mut next = None;
        for record in page.records {
            if selection.matches(kind, &record.value) {
                items.push(record.value.clone());
            }
            if limit > 0 && items.len() == limit {
                next = Some(record.key.to_string());
                break;
            }
        }
        let exhausted = page.remaining == 0 && (next.is_none() || next == last);
        if exhausted {
            break (page.revision, None, 0);
        }
        if let Some(next) = next {
            break (page.revision, Some(next), page.remaining);
        }
        after = last;
    };
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if let Some(next) = next {
        metadata["continue"] = Continue {
            revision,
            after: next,
        }
        .encode()
        .into();
        if selection.is_everything() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    let list = form.list(kind, &metadata, &items, call.server.clock.now());
    Ok(render::json(StatusCode::OK, &list))
}

/// The query's `resourceVersion`; `None` when it is missing or "0" (any version will do).
pub(crate) fn resource_version(call: &Call) -> Result<Option<u64>, ApiError> {
    let Some(text) = call.query.get("resourceVersion") else {
        return Ok(None);
    };
    let revision: u64 = text.parse().map_err(|_| {
        ApiError::bad_request(format!("invalid resource version {text:?}: not a number"))
    })?;
    Ok((revision > 0).then_some(revision))
}

/// Refuses to answer when the client has seen a newer revision than there is.
fn not_older_than(call: &Call) -> Result<(), ApiError> {
    let current = call.server.store.revision();
    match resource_version(call)? {
        Some(wanted) if wanted > current => {
            Err(crate::store::LogError::Future { wanted, current }.into())
        }
        _ => Ok(()),
    }
}

/// Where the next page starts, and the revision that all pages show.
struct Continue {
    revision: u64,
    after: String,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!({ "rv": self.revision, "after": self.after }).to_string())
    }

    fn decode(token: &str) -> Result<Self, ApiError> {
        let invalid = || ApiError::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let revision = value["rv"].as_u64().ok_or_else(invalid)?;
        let after = value["after"].as_str().ok_or_else(invalid)?.to_owned();
        Ok(Self { revision, after })
    }
}

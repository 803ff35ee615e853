//! The forms in which objects are answered: whole, as rows of a `Table`, or as metadata only.

use http::HeaderMap;
use http::header::ACCEPT;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::request::Query;
use super::server::Call;
use crate::registry::{Kind, columns};
use crate::status::ApiError;

/// A form of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Table(Include),
    Metadata,
}

/// What the rows of a table carry besides their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    Metadata,
    Object,
}

impl Form {
    /// The first form of the `Accept` header that this server can answer.
    pub(crate) fn negotiate(call: &Call) -> Result<Self, ApiError> {
        Self::parse(&call.headers, &call.query)
    }

    fn parse(headers: &HeaderMap, query: &Query) -> Result<Self, ApiError> {
        let accept = headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            if !matches!(media_type, "application/json" | "application/*" | "*/*") {
                continue;
            }
            let parameters: Vec<&str> = parts.collect();
            let form = parameters
                .iter()
                .find_map(|parameter| parameter.strip_prefix("as="));
            if form.is_some() && !parameters.contains(&"v=v1") {
                continue;
            }
            match form {
                None => return Ok(Self::Whole),
                Some("Table") => return Include::parse(query).map(Self::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Ok(Self::Metadata);
                }
                Some(_) => {}
            }
        }
        // Clients that accept only what this server does not have get JSON, and can tell it by its type.
        Ok(Self::Whole)
    }

    /// One object.
    pub(crate) fn object(&self, kind: &Kind, stored: &Value, now: Timestamp) -> Value {
        match self {
            Self::Whole => kind.present(stored),
            Self::Metadata => metadata(stored),
            Self::Table(include) => {
                let version = stored["metadata"]["resourceVersion"].clone();
                let metadata = json!({ "resourceVersion": version });
                table(
                    kind,
                    &metadata,
                    vec![row(kind, stored, *include, now)],
                    true,
                )
            }
        }
    }

    /// An object in a watch event. A table tells its columns only in the `first` event.
    pub(crate) fn event(&self, kind: &Kind, stored: &Value, now: Timestamp, first: bool) -> Value {
        match self {
            Self::Table(include) => {
                let version = stored["metadata"]["resourceVersion"].clone();
                let metadata = json!({ "resourceVersion": version });
                table(
                    kind,
                    &metadata,
                    vec![row(kind, stored, *include, now)],
                    first,
                )
            }
            _ => self.object(kind, stored, now),
        }
    }

    /// A list.
    pub(crate) fn list(
        &self,
        kind: &Kind,
        metadata: &Value,
        items: &[std::sync::Arc<Value>],
        now: Timestamp,
    ) -> Value {
        let (list_kind, api_version) = match self {
            Self::Whole => (kind.list_kind.clone(), kind.api_version()),
            Self::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            Self::Table(include) => {
                let rows = items
                    .iter()
                    .map(|stored| row(kind, stored, *include, now))
                    .collect();
                return table(kind, metadata, rows, true);
            }
        };
        let items: Vec<Value> = items
            .iter()
            .map(|stored| self.object(kind, stored, now))
            .collect();
        json!({
            "kind": list_kind, "apiVersion": api_version, "metadata": metadata, "items": items,
        })
    }
}

impl Include {
    fn parse(query: &Query) -> Result<Self, ApiError> {
        match query.get("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::Nothing),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(ApiError::bad_request(format!(
                "unrecognized includeObject value: {other:?}"
            ))),
        }
    }
}

fn metadata(stored: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": stored["metadata"],
    })
}

fn table(kind: &Kind, metadata: &Value, rows: Vec<Value>, with_columns: bool) -> Value {
    let columns = if with_columns {
        columns::columns(kind)
    } else {
        Vec::new()
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns.iter().map(columns::Column::definition).collect::<Vec<_>>(),
        "rows": rows,
    })
}

fn row(kind: &Kind, stored: &Value, include: Include, now: Timestamp) -> Value {
    let mut row = json!({ "cells": columns::cells(kind, stored, now) });
    match include {
        Include::Nothing => {}
        Include::Metadata => row["object"] = metadata(stored),
        Include::Object => row["object"] = kind.present(stored),
    }
    row
}

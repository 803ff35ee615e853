//! Events have two views, `v1` and `events.k8s.io/v1`, of the same objects. They are stored as the first.

use serde_json::{Value, json};

use super::Kind;
use crate::object;

/// Field names that differ, as (`events.k8s.io/v1`, `v1`).
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Returns whether the kind is the newer view of events.
pub(crate) fn is_view(kind: &Kind) -> bool {
    kind.is("events.k8s.io", "events")
}

/// Turns a stored event into the newer view.
pub(crate) fn to_view(event: &mut Value) {
    rename(event, |(view, stored)| (stored, view));
    // These have no omitempty upstream: clients see them always.
    let fields = object::fields(event);
    object::set_default(fields, "regarding", json!({}));
    fields.entry("eventTime").or_insert(Value::Null);
}

/// Turns the newer view into what is stored.
pub(crate) fn from_view(event: &mut Value) {
    rename(event, |(view, stored)| (view, stored));
}

fn rename(
    event: &mut Value,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let fields = object::fields(event);
    for pair in RENAMED {
        let (from, to) = direction(pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

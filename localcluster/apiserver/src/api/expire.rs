//! Events last an hour after they were written last.

use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::server::Server;
use crate::object;
use crate::registry::Kind;

const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Time between looks at all events.
const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

const TIMES: [&str; 5] = [
    "/metadata/creationTimestamp",
    "/eventTime",
    "/firstTimestamp",
    "/lastTimestamp",
    "/series/lastObservedTime",
];

impl Server {
    /// Removes events that are too old. Whoever reads or writes events comes by here, so that no timer
    /// is needed.
    pub(crate) fn expire_events(&self, kind: &Kind) {
        if kind.plural != "events" {
            return;
        }
        let now = self.clock.now();
        {
            let mut last = self
                .expired_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
                return;
            }
            *last = Some(now);
        }
        for record in self.store.scan(&kind.prefix("")) {
            let written = TIMES
                .iter()
                .filter_map(|pointer| time(&record.value, pointer))
                .max();
            if written.is_some_and(|written| now.duration_since(written) > LIFETIME) {
                // One that is written just now stays.
                let _ = self.store.delete(&record.key, None, Some(record.revision));
            }
        }
    }
}

fn time(event: &Value, pointer: &str) -> Option<Timestamp> {
    object::text(event, pointer).parse().ok()
}

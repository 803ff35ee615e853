//! Own writes that the local copies do not show yet. Planning on a copy that is older than the last write would
//! repeat that write, or undo it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api_failure::{ApiFailure, if_present};
use kube::ResourceExt;
use tokio::time::Instant;

use super::{Cluster, Key, write::answered};

/// After this time an outstanding write is looked up: the object may have been deleted meanwhile.
const LOOK_UP_AFTER: Duration = Duration::from_secs(5);

/// Whether the local copies show every own write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// They do.
    Fresh,
    /// This object does not yet.
    Behind(Key),
}

/// Resource versions of own writes.
#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<HashMap<Key, Expected>>);

#[derive(Debug, Clone)]
struct Expected {
    resource_version: String,
    since: Instant,
}

impl Cluster {
    /// Whether the local copies of the objects of `namespace` that concern one canary show every own write. (Where
    /// many canaries are released at the same time, one of them has always just written something.) An object that
    /// never will (deleted by someone else right after the write) is looked up and forgotten.
    ///
    /// # Errors
    /// When that look-up fails.
    pub async fn freshness(
        &self,
        namespace: &str,
        concerns: impl Fn(&Key) -> bool,
    ) -> Result<Freshness, ApiFailure> {
        for (key, expected) in self.expectations.of(namespace) {
            if self.shows(&key, &expected) {
                self.expectations.forget(&key, &expected.resource_version);
                continue;
            }
            if !concerns(&key) {
                continue;
            }
            if expected.since.elapsed() >= LOOK_UP_AFTER {
                let api = self.api(key.kind, &key.namespace);
                let live = if_present(answered(api.get(&key.name)).await)?;
                // The copy may have moved on while the API server answered.
                let copy = self.get(key.kind, &key.namespace, &key.name);
                let version = copy.and_then(|object| object.resource_version());
                if live.and_then(|object| object.resource_version()) == version
                    || self.shows(&key, &expected)
                {
                    self.expectations.forget(&key, &expected.resource_version);
                    continue;
                }
            }
            return Ok(Freshness::Behind(key));
        }
        Ok(Freshness::Fresh)
    }

    fn shows(&self, key: &Key, expected: &Expected) -> bool {
        let copy = self.get(key.kind, &key.namespace, &key.name);
        let shown = copy.and_then(|object| object.resource_version());
        shown.is_some_and(|shown| reached(&shown, &expected.resource_version))
    }

    /// Remembers that `key` was written and is now at `resource_version`.
    pub(super) fn expect(&self, key: Key, resource_version: Option<String>) {
        if let Some(resource_version) = resource_version {
            self.expectations.add(
                key,
                Expected {
                    resource_version,
                    since: Instant::now(),
                },
            );
        }
    }
}

impl Expectations {
    fn add(&self, key: Key, expected: Expected) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, expected);
    }

    fn of(&self, namespace: &str) -> Vec<(Key, Expected)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(key, _)| key.namespace == namespace)
            .map(|(key, expected)| (key.clone(), expected.clone()))
            .collect()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(key)
    }

    fn forget(&self, key: &Key, resource_version: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all
            .get(key)
            .is_some_and(|expected| expected.resource_version == resource_version)
        {
            all.remove(key);
        }
    }
}

/// Whether `shown` is `expected` or later. Resource versions are numbers that grow on every server in use; if
/// they are not, only equality counts.
fn reached(shown: &str, expected: &str) -> bool {
    match (shown.parse::<u64>(), expected.parse::<u64>()) {
        (Ok(shown), Ok(expected)) => shown >= expected,
        _ => shown == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::reached;

    #[test]
    fn a_later_version_shows_an_earlier_write() {
        assert!(reached("12", "9"));
        assert!(reached("9", "9"));
        assert!(!reached("9", "12"));
    }

    #[test]
    fn versions_that_are_no_numbers_count_only_when_equal() {
        assert!(reached("a", "a"));
        assert!(!reached("b", "a"));
    }
}

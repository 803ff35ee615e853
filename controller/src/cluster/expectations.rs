//! Writes of this process that the local copies do not contain yet. A plan based on a copy older than the last write
//! would repeat or undo that write.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api_failure::{ApiFailure, if_present};
use kube::ResourceExt;
use tokio::time::Instant;

use super::{Cluster, Key, write::answered};

/// Age at which an outstanding write is verified by a live read, because the object may have been deleted.
const VERIFY_AFTER: Duration = Duration::from_secs(5);

/// Whether the local copies contain all writes of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// They contain all writes.
    Fresh,
    /// The copy of this object is older than the last write.
    Behind(Key),
}

/// Resource versions of the outstanding writes.
#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<HashMap<Key, Expected>>);

#[derive(Debug, Clone)]
struct Expected {
    resource_version: String,
    since: Instant,
}

impl Cluster {
    /// Whether the local copies in `namespace` contain all writes of this process. Only keys that `concerns` accepts
    /// count: with many releases in progress, there is almost always an outstanding write for some canary. A write
    /// whose object was deleted by another client never appears in a copy; it is dropped after a live read.
    ///
    /// # Errors
    /// Fails if the live read fails.
    pub async fn freshness(
        &self,
        namespace: &str,
        concerns: impl Fn(&Key) -> bool,
    ) -> Result<Freshness, ApiFailure> {
        for (key, expected) in self.expectations.of(namespace) {
            if self.contains(&key, &expected) {
                self.expectations.forget(&key, &expected.resource_version);
                continue;
            }
            if !concerns(&key) {
                continue;
            }
            if expected.since.elapsed() >= VERIFY_AFTER {
                let api = self.api(key.kind, &key.namespace);
                let live = if_present(answered(api.get(&key.name)).await)?;
                // The copy may have been updated during the read.
                let copy = self.get(key.kind, &key.namespace, &key.name);
                let version = copy.and_then(|object| object.resource_version());
                if live.and_then(|object| object.resource_version()) == version
                    || self.contains(&key, &expected)
                {
                    self.expectations.forget(&key, &expected.resource_version);
                    continue;
                }
            }
            return Ok(Freshness::Behind(key));
        }
        Ok(Freshness::Fresh)
    }

    fn contains(&self, key: &Key, expected: &Expected) -> bool {
        let copy = self.get(key.kind, &key.namespace, &key.name);
        let current = copy.and_then(|object| object.resource_version());
        current.is_some_and(|current| reached(&current, &expected.resource_version))
    }

    /// Records a write of `key` that resulted in `resource_version`.
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

/// Whether `current` is `expected` or later. Resource versions are increasing numbers on all known servers; others are
/// compared for equality.
fn reached(current: &str, expected: &str) -> bool {
    match (current.parse::<u64>(), expected.parse::<u64>()) {
        (Ok(current), Ok(expected)) => current >= expected,
        _ => current == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::reached;

    #[test]
    fn a_later_version_contains_an_earlier_write() {
        assert!(reached("12", "9"));
        assert!(reached("9", "9"));
        assert!(!reached("9", "12"));
    }

    #[test]
    fn versions_that_are_not_numbers_are_compared_for_equality() {
        assert!(reached("a", "a"));
        assert!(!reached("b", "a"));
    }
}

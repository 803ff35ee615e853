//! A listing of all canaries at one point in time.

use std::sync::Arc;

use super::report::{Report, Watcher};

/// Everything that the page shows at one point in time.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) watcher: Watcher,
    /// Sorted by namespace and name.
    pub(super) canaries: Vec<Arc<Entry>>,
    /// The source of each entry, in the same order.
    pub(super) sources: Vec<Source>,
}

/// The source of an entry: the resource versions of the Canary, its target and its primary, and the length of its
/// history. An entry is rebuilt only if its source changed, so that one change among a thousand canaries is cheap.
pub(super) type Source = ([Option<String>; 3], u64);

/// One canary in a listing. Two listings share the entry if it has not changed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) report: Report,
    /// Its HTML in the list.
    pub(super) card: Arc<str>,
}

impl Listing {
    /// Returns one canary.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.canaries.get(self.index(namespace, name)?)
    }

    pub(super) fn index(&self, namespace: &str, name: &str) -> Option<usize> {
        let key = |entry: &Arc<Entry>| {
            let summary = &entry.report.summary;
            (summary.namespace.as_str(), summary.name.as_str()).cmp(&(namespace, name))
        };
        self.canaries.binary_search_by(key).ok()
    }

    pub(super) fn is_same_as(&self, other: &Listing) -> bool {
        let mut pairs = self.canaries.iter().zip(&other.canaries);
        self.watcher == other.watcher
            && self.canaries.len() == other.canaries.len()
            && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

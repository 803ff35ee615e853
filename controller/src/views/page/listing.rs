//! The canaries that the page shows at one time.

use std::sync::Arc;

use super::report::{Report, Watcher};

/// Everything that the page shows at one time.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) watcher: Watcher,
    /// By namespace and name.
    pub(super) canaries: Vec<Arc<Entry>>,
    /// What each of them was made from, in the same order.
    pub(super) sources: Vec<Source>,
}

/// What an entry was made from: versions of the Canary, its target and its primary, and the length of its history.
/// Only what was made from something else is made anew, so that one change among a thousand canaries is cheap.
pub(super) type Source = ([Option<String>; 3], u64);

/// One canary in a listing; the same object as in the listing before when it says the same.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) report: Report,
    /// How the list shows it.
    pub(super) card: Arc<str>,
}

impl Listing {
    /// One canary.
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

    pub(super) fn says_the_same_as(&self, other: &Listing) -> bool {
        let mut pairs = self.canaries.iter().zip(&other.canaries);
        self.watcher == other.watcher
            && self.canaries.len() == other.canaries.len()
            && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

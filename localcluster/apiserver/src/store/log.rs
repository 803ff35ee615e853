//! The revision log: every object that exists, and the recent history of how it came to be.
//!
//! One counter numbers all writes. A write appends a [`Record`] to the log and to the history of its
//! key, so that a list can be answered as of an older revision and a watch can be replayed from one.
//! Compaction forgets history up to a revision, never the newest live version of a key.
//!
//! This is a plain synchronous structure; sharing, notification and durability are the business of
//! [`super::Store`].

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

/// What a write did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The key did not exist before.
    Created,
    /// The key existed and has a new value.
    Updated,
    /// The key exists no longer.
    Deleted,
}

/// One write.
#[derive(Debug)]
pub struct Record {
    /// Number of this write; unique in the store and increasing.
    pub revision: u64,
    /// Key written.
    pub key: Arc<str>,
    /// What the write did.
    pub change: Change,
    /// The object after the write, or for a deletion the object as it was last, in both cases with
    /// `metadata.resourceVersion` naming this revision.
    pub value: Arc<Value>,
    /// The object before the write.
    pub previous: Option<Arc<Value>>,
}

/// What a writer expects to find under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The version written by this revision.
    Revision(u64),
}

/// Why the log refused an operation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogError {
    /// The key exists already.
    #[error("{0} exists already")]
    Exists(String),
    /// The key does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// The key was written since the revision the writer read.
    #[error("{key} is at revision {found}, not {expected}; read it again and repeat the change")]
    Conflict {
        /// Key in question.
        key: String,
        /// Revision the writer named.
        expected: u64,
        /// Revision in the log.
        found: u64,
    },
    /// History up to `compacted` is gone.
    #[error("revision {wanted} is older than {compacted}, the oldest kept; list again")]
    Compacted {
        /// Revision asked for.
        wanted: u64,
        /// Everything below this revision is forgotten.
        compacted: u64,
    },
    /// The revision lies in the future.
    #[error("revision {wanted} is newer than the current revision {current}")]
    Future {
        /// Revision asked for.
        wanted: u64,
        /// Newest revision.
        current: u64,
    },
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// Live records in key order.
    pub records: Vec<Arc<Record>>,
    /// Revision the page is consistent with.
    pub revision: u64,
    /// Records that follow the page, zero when it is the last one.
    pub remaining: usize,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Log {
    revision: u64,
    compacted: u64,
    tail: VecDeque<Arc<Record>>,
    keys: BTreeMap<Arc<str>, Vec<Arc<Record>>>,
}

impl Log {
    /// An empty log whose next write gets `revision + 1`. History before it counts as compacted.
    #[must_use]
    pub fn new(revision: u64) -> Self {
        Self {
            revision,
            compacted: revision,
            tail: VecDeque::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Puts back an object read from disk, without making a new revision.
    pub fn restore(&mut self, key: &str, revision: u64, value: Value) {
        let key: Arc<str> = key.into();
        let record = Record {
            revision,
            key: key.clone(),
            change: Change::Created,
            value: Arc::new(value),
            previous: None,
        };
        self.keys.insert(key, vec![Arc::new(record)]);
    }

    /// Revision of the newest write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Revision below which no history is kept.
    #[must_use]
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Number of records that a watch could replay.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.tail.len()
    }

    /// The newest version of a key, if it exists.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Record>> {
        live(self.keys.get(key)?, u64::MAX).cloned()
    }

    /// Writes `value` under `key`, with its resource version set to the new revision.
    ///
    /// # Errors
    /// [`LogError::Exists`], [`LogError::Missing`] or [`LogError::Conflict`] when the key is not as
    /// expected; nothing is written then.
    pub fn put(
        &mut self,
        key: &str,
        value: Value,
        expect: Expect,
    ) -> Result<Arc<Record>, LogError> {
        let current = self.get(key);
        check(key, current.as_deref(), expect)?;
        let change = if current.is_some() {
            Change::Updated
        } else {
            Change::Created
        };
        Ok(self.append(
            key,
            change,
            value,
            current.map(|record| record.value.clone()),
        ))
    }

    /// Removes `key`. The record carries `last` (or, without it, the current value) as the state in
    /// which the object went.
    ///
    /// # Errors
    /// [`LogError::Missing`] or [`LogError::Conflict`] when the key is not as expected.
    pub fn delete(
        &mut self,
        key: &str,
        last: Option<Value>,
        expect: Option<u64>,
    ) -> Result<Arc<Record>, LogError> {
        let current = self
            .get(key)
            .ok_or_else(|| LogError::Missing(key.to_owned()))?;
        if let Some(revision) = expect {
            check(key, Some(&current), Expect::Revision(revision))?;
        }
        let last = last.unwrap_or_else(|| (*current.value).clone());
        Ok(self.append(key, Change::Deleted, last, Some(current.value.clone())))
    }

    /// Lists live keys that start with `prefix`, after the key `after`, at most `limit` (0 = all), as of
    /// revision `at` (`None` = now).
    ///
    /// # Errors
    /// [`LogError::Compacted`] or [`LogError::Future`] when `at` cannot be answered.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<u64>,
    ) -> Result<Page, LogError> {
        let revision = at.unwrap_or(self.revision);
        self.check_revision(revision)?;
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut matching = self
            .keys
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(_, history)| live(history, revision));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let records = matching.by_ref().take(limit).cloned().collect();
        Ok(Page {
            records,
            revision,
            remaining: matching.count(),
        })
    }

    /// Every write to keys under `prefix` after revision `after`, in order.
    ///
    /// # Errors
    /// [`LogError::Compacted`] when some of them may be forgotten, [`LogError::Future`] when `after` was
    /// never reached.
    pub fn since(&self, prefix: &str, after: u64) -> Result<Vec<Arc<Record>>, LogError> {
        self.check_revision(after)?;
        let start = self.tail.partition_point(|record| record.revision <= after);
        Ok(self
            .tail
            .range(start..)
            .filter(|record| record.key.starts_with(prefix))
            .cloned()
            .collect())
    }

    /// Forgets history up to and including `revision`, keeping the newest live version of every key.
    pub fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        if revision <= self.compacted {
            return;
        }
        self.compacted = revision;
        let forgotten = self
            .tail
            .partition_point(|record| record.revision <= revision);
        for record in self.tail.drain(..forgotten) {
            let Some(history) = self.keys.get_mut(&record.key) else {
                continue;
            };
            let superseded = history.partition_point(|old| old.revision <= revision);
            history.drain(..superseded.saturating_sub(1));
            if matches!(history.as_slice(), [only] if only.change == Change::Deleted && only.revision <= revision)
            {
                self.keys.remove(&record.key);
            }
        }
    }

    fn check_revision(&self, wanted: u64) -> Result<(), LogError> {
        if wanted < self.compacted {
            return Err(LogError::Compacted {
                wanted,
                compacted: self.compacted,
            });
        }
        if wanted > self.revision {
            return Err(LogError::Future {
                wanted,
                current: self.revision,
            });
        }
        Ok(())
    }

    fn append(
        &mut self,
        key: &str,
        change: Change,
        mut value: Value,
        previous: Option<Arc<Value>>,
    ) -> Arc<Record> {
        self.revision += 1;
        stamp(&mut value, self.revision);
        let key: Arc<str> = key.into();
        let record = Arc::new(Record {
            revision: self.revision,
            key: key.clone(),
            change,
            value: Arc::new(value),
            previous,
        });
        self.tail.push_back(record.clone());
        self.keys.entry(key).or_default().push(record.clone());
        record
    }
}

/// The record of a key's history that was current at `revision`, unless it is a tombstone.
fn live(history: &[Arc<Record>], revision: u64) -> Option<&Arc<Record>> {
    let end = history.partition_point(|record| record.revision <= revision);
    history[..end]
        .last()
        .filter(|record| record.change != Change::Deleted)
}

fn check(key: &str, current: Option<&Record>, expect: Expect) -> Result<(), LogError> {
    match (expect, current) {
        (Expect::Absent, Some(_)) => Err(LogError::Exists(key.to_owned())),
        (Expect::Revision(_), None) => Err(LogError::Missing(key.to_owned())),
        (Expect::Revision(expected), Some(record)) if record.revision != expected => {
            Err(LogError::Conflict {
                key: key.to_owned(),
                expected,
                found: record.revision,
            })
        }
        (Expect::Absent, None) | (Expect::Revision(_), Some(_)) => Ok(()),
    }
}

fn stamp(value: &mut Value, revision: u64) {
    if let Some(object) = value.as_object_mut() {
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Default::default()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
        }
    }
}

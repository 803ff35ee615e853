//! The object store: a shared [`log`], watches over it, and its copy on disk.

pub mod disk;
pub mod log;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use disk::{Disk, DiskError};
pub use log::{Change, Expect, LogError, Page, Record};

/// History kept for watches: between one and two times this many writes.
const HISTORY: usize = 10_000;

/// A shared store. Writes are visible to readers and watchers at once; [`Store::durable`] waits until
/// they are on disk.
#[derive(Debug)]
pub struct Store {
    log: Mutex<log::Log>,
    newest: watch::Sender<u64>,
    disk: Option<Disk>,
}

impl Store {
    /// A store that lives in memory only.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::from_log(log::Log::new(0), None)
    }

    /// Opens the store kept in the file `path`, creating it if need be.
    ///
    /// # Errors
    /// When the file cannot be opened, is locked by another process, or holds something else.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let (disk, log) = Disk::open(path)?;
        Ok(Self::from_log(log, Some(disk)))
    }

    fn from_log(log: log::Log, disk: Option<Disk>) -> Self {
        let (newest, _) = watch::channel(log.revision());
        Self {
            log: Mutex::new(log),
            newest,
            disk,
        }
    }

    /// Revision of the newest write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().revision()
    }

    /// The newest version of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.lock().get(key)
    }

    /// See [`log::Log::list`].
    ///
    /// # Errors
    /// As [`log::Log::list`].
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<u64>,
    ) -> Result<Page, LogError> {
        self.lock().list(prefix, after, limit, at)
    }

    /// All live records under a prefix, as of now.
    #[must_use]
    pub fn scan(&self, prefix: &str) -> Vec<Arc<Record>> {
        self.list(prefix, None, 0, None)
            .map(|page| page.records)
            .unwrap_or_default()
    }

    /// See [`log::Log::put`].
    ///
    /// # Errors
    /// As [`log::Log::put`].
    pub fn put(&self, key: &str, value: Value, expect: Expect) -> Result<Arc<Record>, LogError> {
        self.write(|log| log.put(key, value, expect))
    }

    /// See [`log::Log::delete`].
    ///
    /// # Errors
    /// As [`log::Log::delete`].
    pub fn delete(
        &self,
        key: &str,
        last: Option<Value>,
        expect: Option<u64>,
    ) -> Result<Arc<Record>, LogError> {
        self.write(|log| log.delete(key, last, expect))
    }

    /// Forgets history up to `revision`; see [`log::Log::compact`].
    pub fn compact(&self, revision: u64) {
        self.lock().compact(revision);
    }

    /// Waits until the write numbered `revision` survives the end of this process.
    ///
    /// # Errors
    /// When the disk refused a write; later writes fail as well.
    pub async fn durable(&self, revision: u64) -> Result<(), DiskError> {
        match &self.disk {
            Some(disk) => disk.durable(revision).await,
            None => Ok(()),
        }
    }

    /// Watches keys under `prefix` for writes after revision `after`.
    ///
    /// # Errors
    /// As [`log::Log::since`].
    pub fn watch(self: &Arc<Self>, prefix: &str, after: u64) -> Result<Watch, LogError> {
        // Subscribing comes before the first scan, so that a write between the two is not lost.
        let newest = self.newest.subscribe();
        self.lock().since(prefix, after)?;
        Ok(Watch {
            store: self.clone(),
            newest,
            prefix: prefix.to_owned(),
            position: after,
        })
    }

    fn write(
        &self,
        operation: impl FnOnce(&mut log::Log) -> Result<Arc<Record>, LogError>,
    ) -> Result<Arc<Record>, LogError> {
        let mut log = self.lock();
        let record = operation(&mut log)?;
        if log.history_len() > 2 * HISTORY {
            let keep_after = record.revision - HISTORY as u64;
            log.compact(keep_after);
        }
        if let Some(disk) = &self.disk {
            disk.enqueue(record.clone());
        }
        // Sent under the lock, so that revisions are announced in order.
        self.newest.send_replace(record.revision);
        Ok(record)
    }

    fn lock(&self) -> MutexGuard<'_, log::Log> {
        // Every mutation of the log is complete before anything in it can panic.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A position in the log from which writes are read as they come.
#[derive(Debug)]
pub struct Watch {
    store: Arc<Store>,
    newest: watch::Receiver<u64>,
    prefix: String,
    position: u64,
}

impl Watch {
    /// Waits for the next writes, at least one.
    ///
    /// # Errors
    /// [`LogError::Compacted`] when this watch fell behind what the log keeps.
    pub async fn next(&mut self) -> Result<Vec<Arc<Record>>, LogError> {
        loop {
            self.newest.borrow_and_update();
            let (records, revision) = {
                let log = self.store.lock();
                (log.since(&self.prefix, self.position)?, log.revision())
            };
            self.position = revision;
            if !records.is_empty() {
                return Ok(records);
            }
            if self.newest.changed().await.is_err() {
                // The store holds the sender and this watch holds the store.
                return Ok(records);
            }
        }
    }

    /// Everything up to this revision has been handed out.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }
}

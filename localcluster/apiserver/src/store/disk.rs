//! The copy of the store on disk: the newest version of every key and the revision counter.
//!
//! A thread of its own commits records in batches: whatever queued up while one transaction was being
//! written goes into the next one. A write is acknowledged to its client only when its batch is on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::Value;
use tokio::sync::watch;

use super::log::{Change, Log, Record};

const OBJECTS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";

/// Revisions skipped when a store is opened. Watchers may have seen writes that a killed process did not
/// get to disk; the gap makes sure that no revision they know is given out a second time.
const RESTART_GAP: u64 = 1_000;

/// Why the store's file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    /// The file cannot be opened or is no store.
    #[error("cannot open the store {path}: {reason}; is another API server using it?")]
    Open {
        /// The file.
        path: String,
        /// What the database says.
        reason: String,
    },
    /// Content of the file cannot be read.
    #[error("cannot read the store {path}: {reason}; move it away to start with an empty cluster")]
    Read {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A transaction failed.
    #[error("cannot write the store: {0}; make room on the disk and restart")]
    Write(String),
}

/// Progress of the writer thread: the newest revision on disk, or why there will be no newer one.
type Progress = Result<u64, DiskError>;

/// Handle of the writer thread. Dropping it commits what is queued and ends the thread.
#[derive(Debug)]
pub struct Disk {
    queue: Option<Sender<Arc<Record>>>,
    progress: watch::Receiver<Progress>,
    writer: Option<JoinHandle<()>>,
}

impl Disk {
    /// Opens or creates the file and reads the log's starting state from it.
    pub(super) fn open(path: &Path) -> Result<(Self, Log), DiskError> {
        let shown = path.display().to_string();
        let database = Database::create(path).map_err(|error| DiskError::Open {
            path: shown.clone(),
            reason: error.to_string(),
        })?;
        let log = read(&database).map_err(|reason| DiskError::Read {
            path: shown,
            reason,
        })?;
        let (queue, records) = channel();
        let (progress_sender, progress) = watch::channel(Ok(log.revision()));
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_all(&database, &records, &progress_sender))
            .map_err(|error| DiskError::Write(error.to_string()))?;
        Ok((
            Self {
                queue: Some(queue),
                progress,
                writer: Some(writer),
            },
            log,
        ))
    }

    pub(super) fn enqueue(&self, record: Arc<Record>) {
        if let Some(queue) = &self.queue {
            // When the writer is gone, `durable` reports why.
            let _ = queue.send(record);
        }
    }

    pub(super) async fn durable(&self, revision: u64) -> Result<(), DiskError> {
        let mut progress = self.progress.clone();
        let reached = progress
            .wait_for(|state| state.as_ref().map_or(true, |written| *written >= revision))
            .await
            .map_err(|_| DiskError::Write("the writer thread ended".to_owned()))?;
        reached.clone().map(|_| ())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn read(database: &Database) -> Result<Log, String> {
    let transaction = database.begin_write().map_err(|error| error.to_string())?;
    // Opening a table in a write transaction creates it.
    transaction
        .open_table(OBJECTS)
        .map_err(|error| error.to_string())?;
    transaction
        .open_table(COUNTERS)
        .map_err(|error| error.to_string())?;
    transaction.commit().map_err(|error| error.to_string())?;

    let transaction = database.begin_read().map_err(|error| error.to_string())?;
    let counters = transaction
        .open_table(COUNTERS)
        .map_err(|error| error.to_string())?;
    let stored = counters.get(REVISION).map_err(|error| error.to_string())?;
    let mut log = Log::new(stored.map_or(0, |revision| revision.value() + RESTART_GAP));
    let objects = transaction
        .open_table(OBJECTS)
        .map_err(|error| error.to_string())?;
    for entry in objects.iter().map_err(|error| error.to_string())? {
        let (key, stored) = entry.map_err(|error| error.to_string())?;
        let (revision, json) = stored.value();
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| format!("object {}: {error}", key.value()))?;
        log.restore(key.value(), revision, value);
    }
    Ok(log)
}

fn write_all(
    database: &Database,
    records: &Receiver<Arc<Record>>,
    progress: &watch::Sender<Progress>,
) {
    while let Ok(first) = records.recv() {
        let mut batch = vec![first];
        batch.extend(records.try_iter());
        match commit(database, &batch) {
            Ok(revision) => {
                let _ = progress.send_replace(Ok(revision));
            }
            Err(reason) => {
                tracing::error!(%reason, "the store cannot be written");
                let _ = progress.send_replace(Err(DiskError::Write(reason)));
                return;
            }
        }
    }
}

fn commit(database: &Database, batch: &[Arc<Record>]) -> Result<u64, String> {
    let transaction = database.begin_write().map_err(|error| error.to_string())?;
    let mut newest = 0;
    {
        let mut objects = transaction
            .open_table(OBJECTS)
            .map_err(|error| error.to_string())?;
        for record in batch {
            newest = newest.max(record.revision);
            if record.change == Change::Deleted {
                objects
                    .remove(&*record.key)
                    .map_err(|error| error.to_string())?;
            } else {
                let json = serde_json::to_vec(&*record.value).map_err(|error| error.to_string())?;
                objects
                    .insert(&*record.key, (record.revision, json.as_slice()))
                    .map_err(|error| error.to_string())?;
            }
        }
        let mut counters = transaction
            .open_table(COUNTERS)
            .map_err(|error| error.to_string())?;
        counters
            .insert(REVISION, newest)
            .map_err(|error| error.to_string())?;
    }
    transaction.commit().map_err(|error| error.to_string())?;
    Ok(newest)
}

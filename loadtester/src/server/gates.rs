//! Gates that people open and close and that webhooks check; all are closed until opened.
//!
//! With a file, they survive a restart, and replicas that share the file (a ReadWriteMany volume) agree: it is
//! read again at every check and replaced as a whole at every change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A gate somebody has opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// Whether checks pass.
    pub open: bool,
    /// Address of whoever changed it last, with a name if one was given.
    pub changed_by: String,
    /// When, in seconds since 1970.
    pub changed_at: u64,
}

type Table = BTreeMap<String, Gate>;

/// All gates by key: `name.namespace`, and `rollback.name.namespace` for rollbacks.
#[derive(Debug)]
pub(crate) struct Gates {
    file: Option<PathBuf>,
    table: Mutex<Table>,
}

/// The file of the gates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// Reading failed.
    #[error("cannot read the gates from {0}: {1}")]
    Read(PathBuf, io::Error),
    /// The file holds something else.
    #[error("{0} does not hold gates: {1} (delete it to close all gates)")]
    Parse(PathBuf, serde_json::Error),
    /// Writing failed; the gate is as before.
    #[error("cannot write the gates to {0}: {1}")]
    Write(PathBuf, io::Error),
}

impl Gates {
    /// Gates in `file`, or in memory only.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Self, GateError> {
        let gates = Self {
            file,
            table: Mutex::default(),
        };
        gates.all()?;
        Ok(gates)
    }

    /// Whether the gate is open.
    ///
    /// # Errors
    /// The file cannot be read: an unknown gate is not taken for a closed one.
    pub(crate) fn is_open(&self, key: &str) -> Result<bool, GateError> {
        Ok(self.all()?.get(key).is_some_and(|gate| gate.open))
    }

    /// Every gate anybody has changed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn all(&self) -> Result<Table, GateError> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&table)
    }

    /// Changes a gate.
    ///
    /// # Errors
    /// The file cannot be read or written; the gate is then as before.
    pub(crate) fn set(&self, key: &str, gate: Gate) -> Result<(), GateError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.lock_out_replicas()?;
        let mut next = self.read(&table)?;
        next.insert(key.to_owned(), gate);
        self.write(&next)?;
        *table = next;
        Ok(())
    }

    fn read(&self, in_memory: &Table) -> Result<Table, GateError> {
        let Some(file) = &self.file else {
            return Ok(in_memory.clone());
        };
        match std::fs::read(file) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| GateError::Parse(file.clone(), error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::new()),
            Err(error) => Err(GateError::Read(file.clone(), error)),
        }
    }

    /// Holds off other replicas, by a lock on the folder, until the result is dropped.
    fn lock_out_replicas(&self) -> Result<Option<File>, GateError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        locked
            .map(Some)
            .map_err(|error| GateError::Write(file.clone(), error))
    }

    /// Writes beside the file and renames, so that nobody ever reads half of it.
    fn write(&self, table: &Table) -> Result<(), GateError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let failed = |error| GateError::Write(file.clone(), error);
        let text = serde_json::to_vec_pretty(table).map_err(|error| failed(error.into()))?;
        let beside = file.with_extension("new");
        let write = || {
            let mut out = File::create(&beside)?;
            out.write_all(&text)?;
            out.sync_all()?;
            std::fs::rename(&beside, file)
        };
        write().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(open: bool) -> Gate {
        Gate {
            open,
            changed_by: "127.0.0.1".into(),
            changed_at: 1_700_000_000,
        }
    }

    #[test]
    fn gates_are_closed_until_opened() {
        let gates = Gates::open(None).unwrap();
        assert!(!gates.is_open("a.b").unwrap());
        gates.set("a.b", gate(true)).unwrap();
        assert!(gates.is_open("a.b").unwrap());
        assert!(!gates.is_open("rollback.a.b").unwrap());
        gates.set("a.b", gate(false)).unwrap();
        assert!(!gates.is_open("a.b").unwrap());
    }

    #[test]
    fn gates_in_a_file_survive_a_restart_and_are_the_same_for_every_replica() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gates.json");
        let first = Gates::open(Some(file.clone())).unwrap();
        let second = Gates::open(Some(file.clone())).unwrap();
        first.set("a.b", gate(true)).unwrap();
        assert!(second.is_open("a.b").unwrap());
        second.set("c.d", gate(true)).unwrap();
        drop((first, second));
        let again = Gates::open(Some(file)).unwrap();
        assert!(again.is_open("a.b").unwrap() && again.is_open("c.d").unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn replicas_that_change_gates_at_once_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gates.json");
        std::thread::scope(|scope| {
            for replica in 0..4 {
                let gates = Gates::open(Some(file.clone())).unwrap();
                scope.spawn(move || {
                    for canary in 0..20 {
                        gates
                            .set(&format!("{replica}.{canary}"), gate(true))
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(Gates::open(Some(file)).unwrap().all().unwrap().len(), 80);
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gates.json");
        std::fs::write(&file, "precious").unwrap();
        let error = Gates::open(Some(file.clone())).unwrap_err().to_string();
        assert!(error.contains("gates.json"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    }
}

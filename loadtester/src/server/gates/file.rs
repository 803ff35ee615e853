//! Gates in a file that replicas may share (on a volume that several pods may write).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Gate, GateError, Table};

/// A file that holds all gates as JSON. It is read again at every check and replaced as a whole at every change.
#[derive(Debug)]
pub(crate) struct GatesFile {
    path: PathBuf,
}

impl GatesFile {
    /// # Errors
    /// The file exists and cannot be read.
    pub(super) fn open(path: PathBuf) -> Result<Self, GateError> {
        let file = Self { path };
        file.read()?;
        Ok(file)
    }

    /// # Errors
    /// The file exists and cannot be read, or holds something else.
    pub(super) fn read(&self) -> Result<Table, GateError> {
        match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| GateError::Parse(self.path.clone(), error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::new()),
            Err(error) => Err(GateError::Read(self.path.clone(), error)),
        }
    }

    /// # Errors
    /// The file cannot be read or written; the gate is then as before.
    pub(super) fn set(&self, key: &str, gate: Gate) -> Result<(), GateError> {
        let _alone = self.lock_out_others()?;
        let mut table = self.read()?;
        table.insert(key.to_owned(), gate);
        self.write(&table)
    }

    /// Holds off other requests and replicas, by a lock on the folder, until the result is dropped.
    fn lock_out_others(&self) -> Result<File, GateError> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.lock().map(|()| folder))
            .map_err(|error| GateError::Write(self.path.clone(), error))
    }

    /// Writes beside the file and renames, so that nobody ever reads half of it.
    fn write(&self, table: &Table) -> Result<(), GateError> {
        let failed = |error| GateError::Write(self.path.clone(), error);
        let text = serde_json::to_vec_pretty(table).map_err(|error| failed(error.into()))?;
        let beside = self.path.with_extension("new");
        let write = || {
            let mut out = File::create(&beside)?;
            out.write_all(&text)?;
            out.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Gate {
        Gate {
            open: true,
            changed_by: "127.0.0.1".into(),
            changed_at: Some(1_700_000_000),
        }
    }

    #[test]
    fn gates_survive_a_restart_and_are_the_same_for_every_replica() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gates.json");
        let first = GatesFile::open(path.clone()).unwrap();
        let second = GatesFile::open(path.clone()).unwrap();
        first.set("a.b", open()).unwrap();
        assert!(second.read().unwrap()["a.b"].open);
        second.set("c.d", open()).unwrap();
        drop((first, second));
        let again = GatesFile::open(path).unwrap().read().unwrap();
        assert!(again["a.b"].open && again["c.d"].open);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn replicas_that_change_gates_at_once_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gates.json");
        std::thread::scope(|scope| {
            for replica in 0..4 {
                let file = GatesFile::open(path.clone()).unwrap();
                scope.spawn(move || {
                    for canary in 0..20 {
                        file.set(&format!("{replica}.{canary}"), open()).unwrap();
                    }
                });
            }
        });
        assert_eq!(GatesFile::open(path).unwrap().read().unwrap().len(), 80);
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gates.json");
        std::fs::write(&path, "precious").unwrap();
        let error = GatesFile::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("gates.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}

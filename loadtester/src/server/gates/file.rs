//! Gates in a file. Replicas may share it on a volume that several pods can write.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::gate::{Gate, GateError, Table};

/// A replica holds the lock only while it writes a small file, so after this time it hangs.
const LOCK_TIME: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A file with all gates as JSON. Every check reads it again, and every change replaces it as a whole.
#[derive(Clone, Debug)]
pub(crate) struct GatesFile {
    path: PathBuf,
}

impl GatesFile {
    /// Opens the file, which need not exist yet.
    ///
    /// # Errors
    /// The file exists and cannot be read, or its folder does not exist.
    pub(super) fn open(path: PathBuf) -> Result<Self, GateError> {
        // A link is followed now, because a change would replace the link itself.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let file = Self { path };
        file.read()?;
        std::fs::metadata(file.folder())
            .map_err(|error| GateError::Write(file.path.clone(), error))?;
        Ok(file)
    }

    /// All gates. The folder may be on another machine, so a thread outside the runtime reads it.
    ///
    /// # Errors
    /// The file exists and cannot be read, or does not contain gates.
    pub(super) async fn all(&self) -> Result<Table, GateError> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        read.unwrap_or_else(|error| Err(GateError::Read(self.path.clone(), error.into())))
    }

    /// Changes a gate. Another replica may hold the lock, so a thread outside the runtime waits for it.
    ///
    /// # Errors
    /// The file cannot be read or written; the gate is then unchanged.
    pub(super) async fn change(&self, key: &str, gate: Gate) -> Result<(), GateError> {
        let (file, key) = (self.clone(), key.to_owned());
        let set = tokio::task::spawn_blocking(move || file.set(&key, gate)).await;
        set.unwrap_or_else(|error| Err(GateError::Write(self.path.clone(), error.into())))
    }

    fn read(&self) -> Result<Table, GateError> {
        match std::fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| GateError::Parse(self.path.clone(), error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::new()),
            Err(error) => Err(GateError::Read(self.path.clone(), error)),
        }
    }

    fn set(&self, key: &str, gate: Gate) -> Result<(), GateError> {
        let _alone = self.lock()?;
        let mut table = self.read()?;
        table.insert(key.to_owned(), gate);
        self.write(&table)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Locks the folder against other requests and replicas until the result is dropped.
    fn lock(&self) -> Result<File, GateError> {
        let failed = |error| GateError::Write(self.path.clone(), error);
        let folder = File::open(self.folder()).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_TIME => {
                    let why = format!(
                        "another process has held the lock on the folder for {LOCK_TIME:?}"
                    );
                    return Err(failed(io::Error::other(why)));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            }
        }
    }

    /// Writes a new file and renames it, so that nobody reads half of it.
    fn write(&self, table: &Table) -> Result<(), GateError> {
        let failed = |error| GateError::Write(self.path.clone(), error);
        let text = serde_json::to_vec_pretty(table).map_err(|error| failed(error.into()))?;
        let beside = beside(&self.path);
        let write = || {
            let mut out = File::create(&beside)?;
            out.write_all(&text)?;
            out.sync_all()?;
            std::fs::rename(&beside, &self.path)
        };
        write().map_err(failed)
    }
}

/// The path of the new file: `.new` is appended, so that it differs from any name of the file itself.
fn beside(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".new");
    path.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::mpsc;

    use super::*;

    fn open() -> Gate {
        Gate {
            open: true,
            changed_by: "127.0.0.1".into(),
            changed_at: Some(1_700_000_000),
        }
    }

    #[test]
    fn gates_survive_a_restart_and_replicas_share_them() {
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
    fn a_link_to_the_file_stays_a_link_and_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("gates.json"), folder.path().join("link"));
        GatesFile::open(path.clone())
            .unwrap()
            .set("a.b", open())
            .unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        GatesFile::open(link.clone())
            .unwrap()
            .set("c.d", open())
            .unwrap();
        assert!(std::fs::symlink_metadata(link).unwrap().is_symlink());
        assert_eq!(GatesFile::open(path).unwrap().read().unwrap().len(), 2);
        assert!(GatesFile::open(folder.path().join("none/gates.json")).is_err());
    }

    #[test]
    fn a_file_of_any_name_is_replaced_and_never_written_into() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["gates.new", "gates", "gates.json"] {
            let path = folder.path().join(name);
            let file = GatesFile::open(path.clone()).unwrap();
            file.set("a.b", open()).unwrap();
            let before = File::open(&path).unwrap();
            file.set("c.d", open()).unwrap();
            let inode = |metadata: io::Result<std::fs::Metadata>| metadata.unwrap().ino();
            assert_ne!(
                inode(std::fs::metadata(&path)),
                inode(before.metadata()),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_lock_of_another_replica_blocks_only_the_caller_that_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = GatesFile::open(folder.path().join("gates.json")).unwrap();
        let lock = file.lock().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let replica = std::thread::spawn(move || {
            let _ = released.recv_timeout(Duration::from_secs(10));
            drop(lock);
        });
        let changing = tokio::spawn({
            let file = file.clone();
            async move { file.change("a.b", open()).await }
        });
        // The only thread of this runtime has started the change and is free again.
        tokio::task::yield_now().await;
        assert!(!changing.is_finished());
        assert!(file.all().await.unwrap().is_empty());
        release.send(()).unwrap();
        changing.await.unwrap().unwrap();
        assert!(file.all().await.unwrap()["a.b"].open);
        replica.join().unwrap();
    }

    #[test]
    fn a_file_with_other_content_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gates.json");
        std::fs::write(&path, "precious").unwrap();
        let error = GatesFile::open(path.clone()).unwrap_err().to_string();
        assert!(error.contains("gates.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}

//! The state directory: its owner, its files and the values that persist between runs.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// How long [`StateDir::lock`] retries. [`StateDir::running`] briefly holds a shared lock, which must not keep a cluster
/// from starting.
const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// An error of a state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the directory cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The failed action, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another process runs this cluster.
    #[error("a cluster already runs in {} (process {pid}); stop it with `localcluster stop`", path.display())]
    Running {
        /// The state directory.
        path: PathBuf,
        /// Process id of the running cluster. 0 while it starts.
        pid: u32,
    },
    /// The cluster does not end.
    #[error("process {pid} did not end within {} s of SIGKILL", waited.as_secs())]
    Stuck {
        /// Its process id.
        pid: u32,
        /// How long this process waited.
        waited: Duration,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The description of a running cluster, stored in `cluster.json`. Every field is text, so that
/// `localcluster status --field NAME` can print any of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// Process id of the cluster.
    pub pid: String,
    /// N of its address block 127.N.0.0/16.
    pub block: String,
    /// URL of the API server.
    pub api_server: String,
    /// Path of the administrator's kubeconfig.
    pub kubeconfig: String,
    /// URL of the ingress.
    pub ingress: String,
    /// URL of Envoy's forward proxy, which pods get as `HTTP_PROXY`.
    pub proxy: String,
    /// URL of Envoy's admin interface.
    pub envoy_admin: String,
    /// URL of Prometheus.
    pub prometheus: String,
}

impl Description {
    /// The value of a field, by its name in `cluster.json`.
    pub fn field(&self, name: &str) -> Option<String> {
        let all = serde_json::to_value(self).ok()?;
        Some(all.get(name)?.as_str()?.to_owned())
    }
}

/// A state directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Creates the directory if it is missing. Its path becomes absolute, because child processes run in other
    /// directories.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn open(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(io_error("create", root))?;
        let root = root.canonicalize().map_err(io_error("resolve", root))?;
        Ok(Self { root })
    }

    /// The absolute path of the directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file or folder in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Claims the directory for this process. The claim of a process that has died does not count.
    ///
    /// # Errors
    /// [`Error::Running`] if another process has claimed the directory.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.path("lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => pause(),
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(Error::Running {
                        path: self.root.clone(),
                        pid: read_pid(&mut file),
                    });
                }
                Err(fs::TryLockError::Error(source)) => {
                    return Err(io_error("lock", &path)(source));
                }
            }
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(io_error("write", &path))?;
        Ok(Lock { _file: file })
    }

    /// The process id of the cluster that runs in this directory, if there is one.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub fn running(&self) -> Result<Option<u32>, Error> {
        let path = self.path("lock");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        // A shared lock is enough for the check: it fails exactly while another process has the exclusive lock.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => Ok(Some(read_pid(&mut file))),
            Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        }
    }

    /// The description of the running cluster. `None` if no cluster runs or it is not ready yet.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn description(&self) -> Result<Option<Description>, Error> {
        let Some(pid) = self.running()? else {
            return Ok(None);
        };
        let path = self.path("cluster.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let description: Option<Description> = serde_json::from_slice(&text).ok();
        // The description of a cluster that was killed names another process.
        Ok(description.filter(|found| found.pid == pid.to_string()))
    }

    /// Writes the description of a cluster that is ready.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn describe(&self, description: &Description) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(description).map_err(io::Error::other);
        let path = self.path("cluster.json");
        write_atomically(&path, &text.map_err(io_error("write", &path))?)
    }

    /// Removes the description. This is the first step of a stop.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_description(&self) -> Result<(), Error> {
        let path = self.path("cluster.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// N of the last address block of this cluster.
    pub fn remembered_block(&self) -> Option<u8> {
        fs::read_to_string(self.path("block"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Stores N for the next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember_block(&self, block: u8) -> Result<(), Error> {
        write_atomically(&self.path("block"), &format!("{block}\n"))
    }

    /// Stops the cluster that runs in this directory and waits until it has ended: SIGTERM, then SIGKILL once `grace` has
    /// passed. Its children end with it. Returns false if no cluster was running.
    ///
    /// # Errors
    /// The process cannot be signalled, or outlives SIGKILL.
    pub fn stop(&self, grace: Duration) -> Result<bool, Error> {
        let Some(pid) = self.running()? else {
            return Ok(false);
        };
        self.signal(pid, Signal::TERM)?;
        if self.wait_until_free(grace)? {
            return Ok(true);
        }
        self.signal(pid, Signal::KILL)?;
        let waited = Duration::from_secs(10);
        if self.wait_until_free(waited)? {
            Ok(true)
        } else {
            Err(Error::Stuck { pid, waited })
        }
    }

    fn signal(&self, pid: u32, signal: Signal) -> Result<(), Error> {
        let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        match kill_process(target, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(io_error("signal the owner of", &self.path("lock"))(
                error.into(),
            )),
        }
    }

    fn wait_until_free(&self, limit: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.running()?.is_none() {
                return Ok(true);
            }
            pause();
        }
        Ok(false)
    }
}

/// The claim of a running cluster on its state directory. It ends with the process, even if the process is killed.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

fn read_pid(file: &mut File) -> u32 {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.ok()
        .and_then(|_| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Replaces a file atomically: a reader gets either the old or the new text.
///
/// # Errors
/// The file cannot be written.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension(format!("new.{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(io_error("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(pid: u32) -> Description {
        Description {
            pid: pid.to_string(),
            block: "10".into(),
            api_server: "https://127.10.0.1:6443".into(),
            kubeconfig: "/somewhere".into(),
            ingress: "http://127.0.0.1:8080/".into(),
            proxy: "http://127.10.0.2:15001".into(),
            envoy_admin: "http://127.10.0.2:15000/".into(),
            prometheus: "http://127.10.0.3:9090/".into(),
        }
    }

    #[test]
    fn a_directory_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.running().unwrap(), None);
        let lock = state.lock().unwrap();
        let own = std::process::id();
        assert_eq!(state.running().unwrap(), Some(own));
        let refused = state.lock().unwrap_err();
        assert!(
            matches!(&refused, Error::Running { pid, .. } if *pid == own),
            "{refused}"
        );
        drop(lock);
        assert_eq!(state.running().unwrap(), None);
        state.lock().unwrap();
    }

    #[test]
    fn a_description_is_valid_only_while_the_cluster_that_wrote_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let own = description(std::process::id());
        state.describe(&own).unwrap();
        assert_eq!(state.description().unwrap(), None, "no cluster runs");
        let _lock = state.lock().unwrap();
        assert_eq!(state.description().unwrap(), Some(own));
        state.describe(&description(1)).unwrap();
        assert_eq!(
            state.description().unwrap(),
            None,
            "another process wrote it"
        );
        state.forget_description().unwrap();
        state.forget_description().unwrap();
        assert_eq!(state.description().unwrap(), None);
    }

    #[test]
    fn a_field_of_a_description_is_found_by_its_name() {
        let description = description(7);
        assert_eq!(
            description.field("api-server").as_deref(),
            Some("https://127.10.0.1:6443")
        );
        assert_eq!(description.field("pid").as_deref(), Some("7"));
        assert_eq!(description.field("colour"), None);
    }

    #[test]
    fn a_block_is_remembered_and_a_damaged_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.remembered_block(), None);
        state.remember_block(42).unwrap();
        assert_eq!(state.remembered_block(), Some(42));
        fs::write(state.path("block"), "4z").unwrap();
        assert_eq!(state.remembered_block(), None);
    }
}

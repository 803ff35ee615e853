//! Child processes. Each is started in its own process group and its output is forwarded line by line. Signals go to
//! the whole group, and a stop ends within a grace period.
//!
//! # Guarantees
//! - With a [shim] a child dies with this process, even if this process is killed with `SIGKILL`.
//! - Without a shim (unit tests) dropping the [`Process`] kills the child.
//! - When the child exits, the rest of its process group is killed, as a container runtime does when the first
//!   process of a container ends.
//! - No shell is involved: the kernel gets the program and its arguments unchanged.

mod output;
pub mod shim;
mod supervise;

pub use output::{LogFile, Output, Tail};
pub use supervise::{ChildState, RestartPolicy, Supervisor};

use std::{
    ffi::OsString,
    fmt, io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How long output is still read after the child has exited. A process that left the group (a daemon) can hold the
/// pipe open for ever, so its output is dropped.
const DRAIN: Duration = Duration::from_millis(500);

/// A command to run. The environment is exactly `env`: nothing is inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Path of the program. It is not looked up on the `PATH`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// The complete environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: PathBuf,
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {source}", program.display())]
pub struct SpawnError {
    /// The program of the [`Launch`].
    pub program: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl Exit {
    /// The exit code as a shell and a container status show it: 128 + n for signal n.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// True for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(255),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Starts processes, through the shim if there is one.
#[derive(Debug, Clone, Default)]
pub struct Spawner {
    shim: Option<PathBuf>,
}

impl Spawner {
    /// Creates a spawner. `shim` is the path of a binary whose hidden subcommand `shim` calls [`shim::run`]. With
    /// `None` programs are started directly and are killed only when their [`Process`] is dropped.
    pub fn new(shim: Option<PathBuf>) -> Self {
        Self { shim }
    }

    /// Starts `launch` as the leader of a new process group and forwards its output to `output`.
    ///
    /// # Errors
    /// The program (or the shim) does not exist or cannot be executed.
    pub async fn spawn(
        &self,
        launch: &Launch,
        output: Arc<dyn Output>,
    ) -> Result<Process, SpawnError> {
        let failed = |source| SpawnError {
            program: launch.program.clone(),
            source,
        };
        // With a shim a missing program would show only as an exit code, so check for it here.
        tokio::fs::metadata(&launch.program).await.map_err(failed)?;
        let mut child = self.spawn_child(launch).await.map_err(failed)?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or_else(|| failed(io::Error::other("the process has no id")))?;
        let readers = [
            child
                .stdout
                .take()
                .map(|pipe| tokio::spawn(output::forward(pipe, output.clone()))),
            child
                .stderr
                .take()
                .map(|pipe| tokio::spawn(output::forward(pipe, output))),
        ];
        Ok(Process {
            child,
            pid,
            exit: None,
            readers: readers.into_iter().flatten().collect(),
        })
    }

    async fn spawn_child(&self, launch: &Launch) -> io::Result<Child> {
        let mut attempts = 0;
        loop {
            match spawn_on_lasting_thread(self.command(launch)).await {
                // Another thread forked while the program's file was open for writing. Its child holds a copy of
                // the descriptor until it calls exec.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < 20 =>
                {
                    attempts += 1;
                    sleep(Duration::from_millis(5)).await;
                }
                other => return other,
            }
        }
    }

    fn command(&self, launch: &Launch) -> Command {
        let mut command = match &self.shim {
            None => Command::new(&launch.program),
            Some(shim) => {
                let mut command = Command::new(shim);
                command.args(shim::arguments(std::process::id(), &launch.program));
                command
            }
        };
        command
            .args(&launch.args)
            .env_clear()
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Forks on a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends. Threads of tokio's blocking pool end
/// when idle, and `block_in_place` turns a worker into one of them. A child forked there could be killed seconds
/// later.
async fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, Handle, oneshot::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let body = move || {
            for (mut command, runtime, reply) in jobs {
                let _inside = runtime.enter();
                // If the caller is gone, the child is dropped here and thereby killed.
                let _ = reply.send(command.spawn());
            }
        };
        thread::Builder::new()
            .name("spawner".into())
            .spawn(body)
            .ok()
            .map(|_| sender)
    });
    let failed = || io::Error::other("cannot start the thread that spawns processes");
    let (reply, child) = oneshot::channel();
    let spawner = spawner.as_ref().ok_or_else(failed)?;
    spawner
        .send((command, Handle::current(), reply))
        .map_err(|_| failed())?;
    child.await.map_err(|_| failed())?
}

/// A running child. Dropping it kills the child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    exit: Option<Exit>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Process id, which is also the id of its process group.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends `signal` to every process of the group. Does nothing after the child has ended, because its id may then
    /// belong to another process.
    pub fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            signal_group(self.pid, signal);
        }
    }

    /// Waits until the child has exited, the rest of its group is killed and its output is forwarded. Cancel safe:
    /// nothing is lost if the future is dropped and the method called again.
    ///
    /// # Errors
    /// The operating system cannot report the exit status.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let status = self.child.wait().await?;
        self.signal(Signal::KILL);
        for reader in &mut self.readers {
            if !reader.is_finished() && timeout(DRAIN, &mut *reader).await.is_err() {
                reader.abort();
            }
        }
        Ok(*self.exit.insert(status.into()))
    }

    /// Sends `SIGTERM`, then `SIGKILL` once `grace` has passed.
    ///
    /// # Errors
    /// The same as [`Self::wait`].
    pub async fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        self.signal(Signal::TERM);
        if let Ok(exit) = timeout(grace, self.wait()).await {
            return exit;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }
}

/// Sends `signal` to the process group led by `leader`. A group that no longer exists is not an error.
fn signal_group(leader: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(leader, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = leader.as_raw_nonzero().get(), ?signal, %error, "cannot signal a process group");
    }
}

#[cfg(test)]
mod tests;

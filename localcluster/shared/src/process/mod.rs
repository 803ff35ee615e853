//! Child processes: start one in a process group of its own, carry its output away line by line,
//! signal the whole group, and stop it within a grace period.
//!
//! # Guarantees
//! - With a [shim] a child dies with this process, even when that is killed with `SIGKILL`.
//! - Without one (unit tests) dropping the [`Process`] kills the child.
//! - When the child exits, whatever it left behind in its process group is killed, as a container
//!   runtime does when the first process of a container ends.
//! - Nothing passes through a shell: program and arguments are handed to the kernel as they are.

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

/// How long output may still be read after the child has exited. A process that left the group
/// (a daemon) can hold the pipe open for ever; its words are not waited for.
const DRAIN: Duration = Duration::from_millis(500);

/// What to run. The environment is exactly `env`: nothing is inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Path of the program; never looked up on a `PATH`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: PathBuf,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}: {source}", program.display())]
pub struct SpawnError {
    /// The program of the [`Launch`].
    pub program: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code a shell and a container status show: 128 + n for signal n.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether it is exit code 0.
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

/// Starts processes, through the shim when there is one.
#[derive(Debug, Clone, Default)]
pub struct Spawner {
    shim: Option<PathBuf>,
}

impl Spawner {
    /// `shim` is the path of the binary whose hidden subcommand `shim` is [`shim::run`]. `None`
    /// starts programs directly; they are then only killed when their [`Process`] is dropped.
    pub fn new(shim: Option<PathBuf>) -> Self {
        Self { shim }
    }

    /// Start `launch` as the leader of a new process group, its output going to `output`.
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
        // Behind a shim a missing program would only show as an exit code, so it is looked for here.
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
                .map(|pipe| tokio::spawn(output::carry(pipe, output.clone()))),
            child
                .stderr
                .take()
                .map(|pipe| tokio::spawn(output::carry(pipe, output))),
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
                // Another thread forked while the program's file was open for writing; the copy of
                // that descriptor is gone as soon as that child has called exec.
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

/// Fork on a thread that lives as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends. Threads of tokio's
/// blocking pool end when idle, and a worker becomes one of those in `block_in_place`; forking from
/// there could kill a healthy child seconds later.
async fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, Handle, oneshot::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        let body = move || {
            for (mut command, runtime, reply) in jobs {
                let _inside = runtime.enter();
                // A caller that gave up drops the child, which kills it.
                let _ = reply.send(command.spawn());
            }
        };
        thread::Builder::new()
            .name("spawner".into())
            .spawn(body)
            .ok()
            .map(|_| sender)
    });
    let gone = || io::Error::other("the thread that starts processes could not be started");
    let (reply, child) = oneshot::channel();
    let spawner = spawner.as_ref().ok_or_else(gone)?;
    spawner
        .send((command, Handle::current(), reply))
        .map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
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

    /// Send `signal` to every process of the group. Does nothing after the child has ended, when
    /// its id may belong to somebody else.
    pub fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            signal_group(self.pid, signal);
        }
    }

    /// Wait until the child exits, its leftovers are killed and its output is carried away.
    /// Cancel safe: nothing is lost when the future is dropped and called again.
    ///
    /// # Errors
    /// The system could not tell how the child ended.
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

    /// `SIGTERM`, then `SIGKILL` once `grace` has passed.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub async fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        self.signal(Signal::TERM);
        if let Ok(exit) = timeout(grace, self.wait()).await {
            return exit;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }
}

/// Send `signal` to the process group led by `leader`; a group that is gone is no error.
fn signal_group(leader: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(leader, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = leader.as_raw_nonzero().get(), ?signal, %error, "cannot signal");
    }
}

#[cfg(test)]
mod tests;

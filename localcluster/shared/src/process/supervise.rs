//! Keeps a long-running child alive: restarts it when it ends and reports why it ended.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Launch, LogFile, Output, Spawner, Tail};

/// Lines of output quoted when a child ends unexpectedly.
const TAIL_LINES: usize = 8;
/// Size at which a supervised child's log file is rotated.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;

/// When to restart a child.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// Delay before the first restart. It doubles with every further restart.
    pub first_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// After a run of this length the delay starts again at `first_delay`.
    pub stable_after: Duration,
    /// Time between `SIGTERM` and `SIGKILL` at shutdown.
    pub grace: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            stable_after: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}

impl RestartPolicy {
    /// The delay before the next start after `failures` failures in a row.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        let doubled = self
            .first_delay
            .saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.max_delay)
    }
}

/// State of a supervised child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildState {
    /// Not started yet.
    Starting,
    /// Running.
    Running {
        /// Process id.
        pid: i32,
    },
    /// Ended or could not be started; waiting for a restart.
    Failing {
        /// How it ended, with its last lines of output.
        error: String,
        /// Failures in a row without a stable run between them.
        failures: u32,
    },
    /// Shut down on request.
    Stopped,
}

/// Handle of a supervised child.
#[derive(Debug)]
pub struct Supervisor {
    state: watch::Receiver<ChildState>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts `launch` and keeps it running until `shutdown`. `name` identifies the child in log lines. Its output
    /// is appended to `log`, whose folder is created if missing.
    pub fn start(
        name: impl Into<String>,
        spawner: Spawner,
        launch: Launch,
        log: PathBuf,
        policy: RestartPolicy,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, state) = watch::channel(ChildState::Starting);
        let child = Supervised {
            name: name.into(),
            spawner,
            launch,
            log,
            policy,
            state: sender,
        };
        Self {
            state,
            task: tokio::spawn(child.keep(shutdown)),
        }
    }

    /// The current state and its changes.
    pub fn state(&self) -> watch::Receiver<ChildState> {
        self.state.clone()
    }

    /// Waits until the child has ended after `shutdown`.
    pub async fn stopped(self) {
        // Fails only if the runtime is aborted.
        let _ = self.task.await;
    }
}

struct Supervised {
    name: String,
    spawner: Spawner,
    launch: Launch,
    log: PathBuf,
    policy: RestartPolicy,
    state: watch::Sender<ChildState>,
}

impl Supervised {
    async fn keep(self, shutdown: CancellationToken) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let Err(error) = self.run_once(&shutdown).await else {
                break;
            };
            failures = if started.elapsed() >= self.policy.stable_after {
                1
            } else {
                failures + 1
            };
            let delay = self.policy.delay(failures);
            tracing::warn!(child = self.name, %error, ?delay, "child ended; restarting it");
            self.state
                .send_replace(ChildState::Failing { error, failures });
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(delay) => {}
            }
        }
        self.state.send_replace(ChildState::Stopped);
    }

    /// Returns `Ok` if the child was stopped on request.
    async fn run_once(&self, shutdown: &CancellationToken) -> Result<(), String> {
        let tail = Arc::new(Tail::new(TAIL_LINES));
        let output: Arc<dyn Output> = match self.open_log() {
            Ok(log) => Arc::new((tail.clone(), log)),
            Err(error) => {
                tracing::warn!(child = self.name, %error, "cannot open the log; output is dropped");
                tail.clone()
            }
        };
        let spawned = self.spawner.spawn(&self.launch, output).await;
        let mut process = spawned.map_err(|error| error.to_string())?;
        let pid = process.pid().as_raw_nonzero().get();
        self.state.send_replace(ChildState::Running { pid });
        let exit = tokio::select! {
            exit = process.wait() => exit,
            () = shutdown.cancelled() => {
                return process.stop(self.policy.grace).await.map(|_| ()).or(Ok(()));
            }
        };
        let how = exit.map_or_else(|error| error.to_string(), |exit| exit.to_string());
        let program = self.launch.program.display();
        Err(match tail.text() {
            text if text.is_empty() => format!("{program} ended with {how} and wrote nothing"),
            text => format!("{program} ended with {how}; its last lines:\n{text}"),
        })
    }

    fn open_log(&self) -> std::io::Result<LogFile> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        LogFile::plain(self.log.clone(), LOG_LIMIT)
    }
}

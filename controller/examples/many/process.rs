//! The measured processes, and their resource usage.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Unit of CPU times in `/proc`, `USER_HZ`: 100 per second on all common Linux systems.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, which is killed when dropped.
pub(crate) struct Process {
    child: Child,
    state: PathBuf,
}

impl Process {
    /// Starts `localcluster apiserver` with its state in `folder`.
    pub(crate) fn api_server(folder: &Path) -> Self {
        let state = folder.join("state");
        let mut command = Command::new(program("localcluster"));
        command
            .arg("apiserver")
            .env("LOCALCLUSTER_STATE", &state)
            .env("LOCALCLUSTER_LOG", "error")
            .stdout(Stdio::piped());
        Self::start(command, state)
    }

    /// Starts `canary-controller run` with a kubeconfig.
    pub(crate) fn controller(kubeconfig: &Path, prometheus: &str) -> Self {
        let mut command = Command::new(program("canary-controller"));
        command
            .args(["run", "--min-interval=1s", "--log-level=error", "--port=0"])
            .arg(format!("--metrics-server={prometheus}"))
            .arg("--kubeconfig")
            .arg(kubeconfig);
        Self::start(command, PathBuf::new())
    }

    fn start(mut command: Command, state: PathBuf) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, state }
    }

    /// Waits until the API server is ready, and returns the path of the administrator's kubeconfig.
    pub(crate) async fn kubeconfig(&mut self) -> PathBuf {
        let output = self.child.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next());
        let line = line.await.unwrap();
        assert!(line.is_some(), "the API server exited before it was ready");
        self.state.join("kubeconfig")
    }

    /// CPU time of all threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        let text = fs::read_to_string(self.proc("stat")).unwrap();
        // The name in parentheses may contain spaces. After it, user and system time are fields 12 and 13.
        let (_, fields) = text.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap()).sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }

    /// Peak resident memory in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let text = fs::read_to_string(self.proc("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Path of a program of this workspace, built with the same profile.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is missing: cargo build --release --bins",
        path.display()
    );
    path
}

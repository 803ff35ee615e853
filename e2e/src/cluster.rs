//! A cluster created by `./run.sh`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{journal::Journal, output::Output, wait::until};

/// The root of the repository.
///
/// # Panics
/// Panics if this crate is not in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the repository")
}

/// `./run.sh` with a separate `LOCAL_DIR`.
pub fn run_sh(local_dir: &Path) -> Command {
    let mut command = Command::new(repository().join("run.sh"));
    command
        .env("LOCAL_DIR", local_dir)
        .env("INGRESS", "auto")
        .env_remove("KUBECONFIG");
    command
}

/// A command whose `PATH` begins with the fetched tools, as in run.sh.
pub fn with_tools(program: impl AsRef<OsStr>) -> Command {
    let tools = repository().join(".local/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools).chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command.env(
        "PATH",
        std::env::join_paths(folders).unwrap_or(path.clone()),
    );
    command
}

/// A program of this workspace, built by `./run.sh build` into the directory of the tests.
///
/// # Panics
/// Panics if it is not built.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let mut beside = test.ancestors().skip(1).map(|folder| folder.join(name));
    beside
        .find(|path| path.is_file())
        .expect("the program is built: ./run.sh build")
}

/// A cluster created by `./run.sh up`. Dropping it runs `./run.sh down`, also after a panic.
#[derive(Debug)]
pub struct Cluster {
    local_dir: TempDir,
}

impl Cluster {
    /// Creates the directory of a cluster without starting one.
    ///
    /// # Panics
    /// Panics if no temporary directory can be created.
    pub fn none_yet() -> Self {
        let local_dir = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir()
            .expect("a temporary directory");
        Self { local_dir }
    }

    /// Runs `./run.sh up --on local`.
    ///
    /// # Panics
    /// Panics if it fails.
    pub fn up() -> Self {
        let cluster = Self::none_yet();
        cluster.run(&["up", "--on", "local"]).success();
        cluster
    }

    /// The `LOCAL_DIR` of run.sh.
    pub fn local_dir(&self) -> &Path {
        self.local_dir.path()
    }

    /// Prepares `./run.sh ARGS`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = run_sh(self.local_dir());
        command.args(args);
        command
    }

    /// Runs `./run.sh ARGS`.
    pub fn run(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

    /// Prepares `kubectl ARGS`.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = with_tools("kubectl");
        command
            .env("KUBECONFIG", self.local_dir().join("kubeconfig"))
            .current_dir(repository())
            .args(args);
        command
    }

    /// Runs `kubectl ARGS` and returns its standard output.
    ///
    /// # Panics
    /// Panics if it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).success()
    }

    /// Runs `kubectl ARGS` and returns its output and exit code.
    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        Output::of(&mut self.kubectl_command(args))
    }

    /// Runs `kubectl get ARGS --output json`.
    ///
    /// # Panics
    /// Panics if it fails or does not print JSON.
    pub fn get(&self, args: &[&str]) -> Value {
        let text = self.kubectl(&[&["get"], args, &["--output", "json"]].concat());
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// Watches the events of Canaries, one `TYPE MESSAGE` per line.
    pub fn canary_events(&self) -> Journal {
        let columns = "custom-columns=TYPE:.type,MESSAGE:.message";
        let selector = "involvedObject.kind=Canary";
        Journal::keep(self.kubectl_command(&[
            "get",
            "events",
            "--watch",
            "--no-headers",
            "--field-selector",
            selector,
            "--output",
            columns,
        ]))
    }

    /// Watches phase and weight of the Canary `simple-app`, one `PHASE WEIGHT` per line.
    pub fn canary_status(&self) -> Journal {
        let columns = "custom-columns=PHASE:.status.phase,WEIGHT:.status.canaryWeight";
        Journal::keep(self.kubectl_command(&[
            "get",
            "canary",
            "simple-app",
            "--watch",
            "--no-headers",
            "--output",
            columns,
        ]))
    }

    /// The phase of the Canary `simple-app`.
    ///
    /// # Panics
    /// Panics if kubectl fails.
    pub fn phase(&self) -> String {
        self.kubectl(&[
            "get",
            "canary",
            "simple-app",
            "--output",
            "jsonpath={.status.phase}",
        ])
    }

    /// Waits until the Canary `simple-app` is in one of the phases and returns it.
    ///
    /// # Panics
    /// Panics if the limit passes before.
    pub fn wait_for_phase(&self, phases: &[&str], limit: Duration) -> String {
        until(limit, &format!("canary/simple-app in {phases:?}"), || {
            let phase = self.phase();
            if phases.contains(&phase.as_str()) {
                Ok(phase)
            } else {
                Err(format!("it is {phase}"))
            }
        })
    }

    /// Runs `kubectl set image deployment/simple-app simple-app=simple-app:VERSION`.
    ///
    /// # Panics
    /// Panics if kubectl fails.
    pub fn set_image(&self, version: &str) {
        self.kubectl(&[
            "set",
            "image",
            "deployment/simple-app",
            &format!("simple-app=simple-app:{version}"),
        ]);
    }

    /// Reads a field of `localcluster status`, e.g. `ingress`.
    ///
    /// # Panics
    /// Panics if the cluster is not running.
    pub fn field(&self, name: &str) -> String {
        let text =
            std::fs::read_to_string(self.state("cluster.json")).expect("the cluster is running");
        let description: Value = serde_json::from_str(&text).expect("cluster.json is JSON");
        description[name]
            .as_str()
            .expect("the field exists")
            .to_owned()
    }

    /// URL of the app on the ingress.
    pub fn app(&self) -> String {
        self.field("ingress")
    }

    /// Path of a file in the cluster's state directory.
    pub fn state(&self, name: &str) -> PathBuf {
        self.local_dir().join("cluster").join(name)
    }

    /// Lists the processes of this cluster as `(pid, command line)`. They have its directory in their
    /// command line or environment.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.local_dir())
    }
}

/// Lists other processes with `folder` in their command line or environment, as `(pid, command line)`.
pub(crate) fn processes_of(folder: &Path) -> Vec<(u32, String)> {
    let needle = folder.to_string_lossy().into_owned();
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid: u32| {
            let read = |file| {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let (line, environment) = (read("cmdline"), read("environ"));
            (line.contains(&needle) || environment.contains(&needle)).then_some((pid, line))
        })
        .collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        let down = self.run(&["down"]);
        let output = format!("{}{}", down.stdout, down.stderr);
        assert!(
            down.code == 0 || std::thread::panicking(),
            "down failed: {output}"
        );
    }
}

impl Cluster {
    /// Prints diagnostics after a failed test.
    fn explain(&self) {
        for args in [
            &[
                "get",
                "canaries,deployments,pods",
                "--all-namespaces",
                "--output",
                "wide",
            ][..],
            &["get", "events", "--all-namespaces"],
            &[
                "logs",
                "--namespace",
                "istio-system",
                "--selector",
                "app.kubernetes.io/name=canary-controller",
                "--tail",
                "60",
            ],
        ] {
            let output = self.try_kubectl(args);
            eprintln!(
                "--- kubectl {}\n{}{}",
                args.join(" "),
                output.stdout,
                output.stderr
            );
        }
        let log =
            std::fs::read_to_string(self.local_dir().join("localcluster.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        eprintln!(
            "--- localcluster.log\n{}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
}

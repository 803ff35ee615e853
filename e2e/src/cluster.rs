//! One cluster as `./run.sh` makes it.

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
/// When this crate does not lie in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// `./run.sh` with a directory of its own.
pub fn run_sh(local_dir: &Path) -> Command {
    let mut command = Command::new(repository().join("run.sh"));
    command
        .env("LOCAL_DIR", local_dir)
        .env("INGRESS", "auto")
        .env_remove("KUBECONFIG");
    command
}

/// A program that finds the fetched tools first on its `PATH`, as run.sh does.
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

/// A program of this workspace, as `./run.sh build` made it: it lies beside the tests.
///
/// # Panics
/// When it is not built.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let mut beside = test.ancestors().skip(1).map(|folder| folder.join(name));
    beside
        .find(|path| path.is_file())
        .expect("the program is built: ./run.sh build")
}

/// A cluster that `./run.sh up` made; `./run.sh down` when it is dropped, after a panic too.
#[derive(Debug)]
pub struct Cluster {
    local_dir: TempDir,
}

impl Cluster {
    /// A directory in which nothing is up yet.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn none_yet() -> Self {
        let local_dir = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir()
            .expect("a temporary directory");
        Self { local_dir }
    }

    /// `./run.sh up --on local`.
    ///
    /// # Panics
    /// When that fails.
    pub fn up() -> Self {
        let cluster = Self::none_yet();
        cluster.run(&["up", "--on", "local"]).success();
        cluster
    }

    /// The directory that run.sh uses as its `.local`.
    pub fn local_dir(&self) -> &Path {
        self.local_dir.path()
    }

    /// `./run.sh ARGS`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = run_sh(self.local_dir());
        command.args(args);
        command
    }

    /// `./run.sh ARGS`.
    pub fn run(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

    /// `kubectl ARGS`, not yet started.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = with_tools("kubectl");
        command
            .env("KUBECONFIG", self.local_dir().join("kubeconfig"))
            .current_dir(repository())
            .args(args);
        command
    }

    /// What `kubectl ARGS` prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).success()
    }

    /// What `kubectl ARGS` prints, and how it ended.
    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        Output::of(&mut self.kubectl_command(args))
    }

    /// `kubectl get ARGS --output json`.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    pub fn get(&self, args: &[&str]) -> Value {
        let text = self.kubectl(&[&["get"], args, &["--output", "json"]].concat());
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// The events of Canaries, one `TYPE MESSAGE` a line, as they come.
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

    /// Phase and weight of the Canary `simple-app`, one `PHASE WEIGHT` a line, as they change.
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
    /// When kubectl fails.
    pub fn phase(&self) -> String {
        self.kubectl(&[
            "get",
            "canary",
            "simple-app",
            "--output",
            "jsonpath={.status.phase}",
        ])
    }

    /// Wait until the Canary `simple-app` is in one of the phases; says in which.
    ///
    /// # Panics
    /// When it is not in time.
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

    /// `kubectl set image deployment/simple-app simple-app=simple-app:VERSION`.
    ///
    /// # Panics
    /// When kubectl fails.
    pub fn set_image(&self, version: &str) {
        self.kubectl(&[
            "set",
            "image",
            "deployment/simple-app",
            &format!("simple-app=simple-app:{version}"),
        ]);
    }

    /// One field of `localcluster status`, e.g. `ingress`.
    ///
    /// # Panics
    /// When the cluster does not run.
    pub fn field(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.state("cluster.json")).expect("the cluster runs");
        let description: Value = serde_json::from_str(&text).expect("cluster.json is JSON");
        description[name]
            .as_str()
            .expect("there is such a field")
            .to_owned()
    }

    /// URL of the app as a person reaches it.
    pub fn app(&self) -> String {
        self.field("ingress")
    }

    /// A file of the cluster's state.
    pub fn state(&self, name: &str) -> PathBuf {
        self.local_dir().join("cluster").join(name)
    }

    /// Processes that belong to this cluster: those with its directory in their command line or
    /// environment, as `(pid, command line)`.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.local_dir())
    }
}

/// Processes other than this one with a folder in their command line or environment, as `(pid, command line)`.
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
        let said = format!("{}{}", down.stdout, down.stderr);
        assert!(
            down.code == 0 || std::thread::panicking(),
            "down failed: {said}"
        );
    }
}

impl Cluster {
    /// After a story failed: what a person would look at first.
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
            let said = self.try_kubectl(args);
            eprintln!(
                "--- kubectl {}\n{}{}",
                args.join(" "),
                said.stdout,
                said.stderr
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

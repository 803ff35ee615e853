//! `./run.sh up --on minikube`, with programs that only write down how they were called.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint's own exception does not see"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{Output, run_sh};
use tempfile::TempDir;

/// A machine whose minikube, istioctl, helm and kubectl write their arguments into `calls`.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: TempDir::new().unwrap(),
        };
        for name in ["local", "tools", "bin"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        machine.program("minikube", r#"case $1 in version) echo "minikube version: v1.37.0" ;; status) test -e "$STATE/started" ;; start) touch "$STATE/started" ;; esac"#);
        machine.program(
            "istioctl",
            r#"case $1 in version) echo "client version: 1.29.0" ;; esac"#,
        );
        machine.program(
            "helm",
            r#"case $1 in version) echo "v3.19.0+g3d8990f" ;; esac"#,
        );
        machine.program(
            "kubectl",
            r#"case "$*" in *version*) echo "Client Version: v1.34.1" ;; *"get canary "*) echo Initialized ;; *"get customresourcedefinition"*) exit 1 ;; esac"#,
        );
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program that writes down its call, fails when `FAIL_ON` is part of it, and else does `answer`.
    fn program(&self, name: &str, answer: &str) {
        let text = format!(
            "#!/bin/sh\ncall=\"{name} $*\"\necho \"$call\" >>\"$STATE/calls\"\n\
             case \"$call\" in *\"${{FAIL_ON:-no such call}}\"*) echo \"{name}: out of luck\" >&2; exit 1 ;; esac\n{answer}\n"
        );
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = run_sh(&self.path("local"));
        command
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .env("TOOLS_DIR", self.path("tools"))
            .env("STATE", self.folder.path())
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

    /// The calls that change something, since the last time this was asked.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        // None when nothing was called.
        let _ = fs::remove_file(self.path("calls"));
        let only_asks = |call: &str| {
            let mut words = call.split(' ').skip(1);
            matches!(words.next(), Some("version" | "status")) || call.contains(" get ")
        };
        text.lines()
            .filter(|call| !only_asks(call))
            .map(str::to_owned)
            .collect()
    }
}

/// The lines of a dry run that are commands, as the shell would pass them on.
fn commands(dry_run: &str) -> Vec<String> {
    let lines = dry_run
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.skip(1).map(|line| line.replace('\'', "")).collect()
}

#[test]
fn a_dry_run_prints_the_exact_commands_and_runs_none() {
    let machine = Machine::new();
    let printed = machine
        .run(&["up", "--on", "minikube", "--dry-run"])
        .success();
    insta::assert_snapshot!(printed);
    assert_eq!(machine.calls(), [""; 0]);
    assert!(
        fs::read_dir(machine.path("local"))
            .unwrap()
            .next()
            .is_none(),
        "nothing is written either"
    );
}

#[test]
fn up_runs_the_commands_of_the_dry_run_in_that_order() {
    let machine = Machine::new();
    let mut expected = commands(
        &machine
            .run(&["up", "--on", "minikube", "--dry-run"])
            .success(),
    );
    // Instead of one `kubectl wait` the canary is asked for its phase, because after a release it is
    // Succeeded or Failed and never Initialized again.
    let last = expected.pop().unwrap();
    assert!(last.contains("wait canary/simple-app"), "{last}");
    machine.run(&["up", "--on", "minikube"]).success();
    assert_eq!(machine.calls(), expected);
}

#[test]
fn a_step_that_fails_is_named_with_what_the_program_said_and_a_second_run_goes_on() {
    for (call, step) in [
        ("minikube start", "Minikube"),
        ("addons enable", "Addon metrics-server"),
        (
            "image build --tag simple-app:1.0.1",
            "Image simple-app:1.0.1",
        ),
        (
            "image build --tag canary-controller",
            "Image canary-controller",
        ),
        ("istioctl install", "Istio"),
        ("helm repo", "Helm repository"),
        ("helm upgrade", "Prometheus"),
        ("apply --server-side", "Custom resource definitions"),
        ("apply -k", "App, load tester, controller, canary"),
        ("rollout status", "Controller and load tester are ready"),
    ] {
        let machine = Machine::new();
        let failed = Output::of(
            machine
                .command(&["up", "--on", "minikube"])
                .env("FAIL_ON", call),
        );
        assert_eq!(failed.code, 1, "{call}: {}", failed.stdout);
        let last = failed.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(&format!("FAIL  {step}")), "{call}: {last}");
        assert!(
            failed.stderr.contains("out of luck"),
            "{call}: {}",
            failed.stderr
        );
        machine.calls();
        let again = machine.run(&["up", "--on", "minikube"]);
        assert_eq!(again.code, 0, "{call}: {}{}", again.stdout, again.stderr);
        assert!(
            machine.calls().iter().any(|done| done.contains(call)),
            "{call} is done in the second run"
        );
    }
}

#[test]
fn all_that_is_missing_or_too_old_is_reported_at_once() {
    let machine = Machine::new();
    fs::remove_file(machine.path("bin").join("istioctl")).unwrap();
    machine.program("helm", "echo v2.1.0");
    let refused = machine.run(&["up", "--on", "minikube"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("istioctl: needed "),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("helm: found 2.1.0, needed "),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("minikube:"), "{}", refused.stderr);
    assert_eq!(machine.calls(), [""; 0], "nothing was begun");
}

#[test]
fn down_deletes_a_minikube_that_up_started_and_leaves_one_that_was_there() {
    let machine = Machine::new();
    machine.run(&["up", "--on", "minikube"]).success();
    machine.calls();
    machine.run(&["down"]).success();
    assert_eq!(machine.calls(), ["minikube delete"]);

    fs::write(machine.path("started"), "").unwrap();
    machine.run(&["up", "--on", "minikube"]).success();
    assert!(
        !machine
            .calls()
            .iter()
            .any(|call| call.starts_with("minikube start"))
    );
    machine.run(&["down"]).success();
    let calls = machine.calls();
    assert_eq!(
        calls,
        ["kubectl --context minikube delete -k manifests/overlays/minikube --ignore-not-found"]
    );
    assert_eq!(left_over(&machine.path("local")), [""; 0]);
}

fn left_over(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

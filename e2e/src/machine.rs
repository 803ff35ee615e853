//! A machine on which only those programs exist that a test puts there.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::cluster::{processes_of, run_sh};

/// What the scripts take for granted on every system.
const BASICS: [&str; 30] = [
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "dirname",
    "env",
    "find",
    "grep",
    "head",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "test",
    "touch",
    "tr",
    "uname",
    "wc",
];

/// Folders of its own for everything that run.sh reads and writes, and a `PATH` with basic programs and stand-ins.
/// A stand-in writes its calls into one file; it fails when `FAIL_ON` is part of the call.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
}

impl Machine {
    /// A machine with basic programs only.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn new() -> Self {
        let machine = Self {
            folder: TempDir::new().expect("a temporary directory"),
        };
        for name in ["local", "tools", "bin"] {
            fs::create_dir(machine.path(name)).expect("a new directory");
        }
        for name in BASICS {
            machine.real(name);
        }
        machine
    }

    /// A path in the machine's folder: `local`, `tools` and `bin` are run.sh's; the rest is up to the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of this machine's own, if it has one.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn real(&self, name: &str) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        if let Some(found) = found {
            symlink(found, self.path("bin").join(name)).expect("a new link");
        }
    }

    /// A stand-in that does `answer`, lines of sh in which `$STATE` is the machine's folder.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn program(&self, name: &str, answer: &str) {
        let text = format!(
            "#!/bin/sh\ncall=\"{name} $*\"\necho \"$call\" >>\"$STATE/calls\"\n\
             case \"$call\" in *\"${{FAIL_ON:-no such call}}\"*) echo \"{name}: out of luck\" >&2; exit 1 ;; esac\n{answer}\n"
        );
        self.file(name, &text);
    }

    /// An executable file with this text and nothing else.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        self.remove(name);
        fs::write(&path, text).expect("the program is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is executable");
    }

    /// Takes a program away.
    pub fn remove(&self, name: &str) {
        // None was there.
        let _ = fs::remove_file(self.path("bin").join(name));
    }

    /// `./run.sh ARGS` on this machine.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = run_sh(&self.path("local"));
        self.environment(&mut command);
        command.args(args);
        command
    }

    /// The same where Ctrl-C works as at a terminal: programs that something started in the background have SIGINT
    /// ignored, which no shell script can change.
    pub fn command_at_a_terminal(&self, args: &[&str]) -> Command {
        let inner = self.command(args);
        let mut command = Command::new("/usr/bin/env");
        command
            .arg("--default-signal=INT")
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// One line of bash with the functions of run.sh's scripts.
    pub fn bash(&self, line: &str) -> Command {
        let root = crate::cluster::repository();
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(format!(
                "set -euo pipefail; cd \"$ROOT\"; . scripts/lib.sh; . scripts/tools.sh; {line}"
            ))
            .env("ROOT", root)
            .env("LOCAL_DIR", self.path("local"));
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("PATH", self.path("bin"))
            .env("TOOLS_DIR", self.path("tools"))
            .env("STATE", self.folder.path())
            .env_remove("MINIKUBE_DRIVER")
            .env_remove("MINIKUBE_PROFILE")
            .env_remove("MINIKUBE_MEMORY");
    }

    /// The calls since the last time this was asked.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        // None when nothing was called.
        let _ = fs::remove_file(self.path("calls"));
        text.lines().map(str::to_owned).collect()
    }

    /// Processes that run.sh started and that still run.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.folder.path())
    }

    /// The names of the files in one of the machine's folders, hidden ones too.
    ///
    /// # Panics
    /// When it is not there.
    pub fn files(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

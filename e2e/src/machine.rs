//! A simulated host on which only the programs provided by a test exist.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::cluster::{processes_of, run_sh};

/// Programs that the scripts expect on every system.
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

/// Separate folders for everything that run.sh reads and writes, and a `PATH` with basic programs and stubs.
/// A stub logs its calls to a file. It fails if the call contains `FAIL_ON`.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Creates a machine with basic programs only.
    ///
    /// # Panics
    /// Panics if no temporary directory can be created.
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

    /// A path in the machine's folder. `local`, `tools` and `bin` belong to run.sh, the rest to the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Links a program of the real host, if it exists there.
    ///
    /// # Panics
    /// Panics on I/O errors.
    pub fn real(&self, name: &str) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        if let Some(found) = found {
            symlink(found, self.path("bin").join(name)).expect("a new link");
        }
    }

    /// Adds a stub that runs `answer`, lines of sh in which `$STATE` is the machine's folder.
    ///
    /// # Panics
    /// Panics on I/O errors.
    pub fn program(&self, name: &str, answer: &str) {
        let text = format!(
            "#!/bin/sh\ncall=\"{name} $*\"\necho \"$call\" >>\"$STATE/calls\"\n\
             case \"$call\" in *\"${{FAIL_ON:-no such call}}\"*) echo \"{name}: simulated failure\" >&2; exit 1 ;; esac\n{answer}\n"
        );
        self.file(name, &text);
    }

    /// Adds an executable file with exactly this text.
    ///
    /// # Panics
    /// Panics on I/O errors.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        self.remove(name);
        fs::write(&path, text).expect("the program is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is executable");
    }

    /// Removes a program.
    pub fn remove(&self, name: &str) {
        // Fails if there is none.
        let _ = fs::remove_file(self.path("bin").join(name));
    }

    /// Prepares `./run.sh ARGS` on this machine.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = run_sh(&self.path("local"));
        self.environment(&mut command);
        command.args(args);
        command
    }

    /// Like [`Self::command`], but Ctrl-C works as at a terminal. Background processes start with SIGINT ignored, which
    /// a shell script cannot undo.
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

    /// Prepares a line of bash that can use the functions of run.sh's scripts.
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

    /// Returns the logged calls and clears the log.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        // Fails if nothing was called.
        let _ = fs::remove_file(self.path("calls"));
        text.lines().map(str::to_owned).collect()
    }

    /// Lists the processes started by run.sh that are still running.
    pub fn processes(&self) -> Vec<(u32, String)> {
        processes_of(self.folder.path())
    }

    /// Lists the files in a folder of the machine, including hidden ones.
    ///
    /// # Panics
    /// Panics if the folder does not exist.
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
    let entries = fs::read_dir(folder).expect("the folder exists");
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

//! The first step of every child: it ties its lifetime to its parent's, then executes the real program.
//!
//! A parent killed with `SIGKILL` cannot clean up, so the kernel does it: the shim sets its own parent-death signal,
//! which survives `exec`. Setting the signal from the parent would need code between fork and exec, which requires
//! `unsafe`.

use std::{ffi::OsString, io, os::unix::process::CommandExt, path::Path, process::Command};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Name of the hidden subcommand that must call [`run`].
pub const SUBCOMMAND: &str = "shim";

/// The command line `shim --parent PID -- PROGRAM` that precedes the program's own arguments.
pub fn arguments(parent: u32, program: &Path) -> Vec<OsString> {
    vec![
        SUBCOMMAND.into(),
        "--parent".into(),
        parent.to_string().into(),
        "--".into(),
        program.as_os_str().to_owned(),
    ]
}

/// Replaces this process by `program`, which is killed when process `parent` ends. Returns only on failure.
pub fn run(parent: u32, program: &Path, args: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // If the parent died before the signal was set, the signal never comes.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().get());
    if actual != i32::try_from(parent).ok() {
        return io::Error::other(format!("parent process {parent} has ended"));
    }
    Command::new(program).args(args).exec()
}

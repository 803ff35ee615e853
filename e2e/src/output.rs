//! The end of a command.

use std::process::Command;

/// The begin of a line in which run.sh says for how long a step has run.
const PROGRESS: &str = "  ...   ";

/// The output of a command and its exit code.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn of(command: &mut Command) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let output = command.output().expect("the command starts");
        let code = output
            .status
            .code()
            .or(output.status.signal().map(|signal| 128 + signal));
        Self {
            code: code.unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output, without run.sh's lines of progress, which only a slow machine shows.
    ///
    /// # Panics
    /// When the command failed.
    pub fn success(self) -> String {
        assert!(
            self.code == 0,
            "exit code {}\n{}\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        let lines = self.stdout.split_inclusive('\n');
        lines.filter(|line| !line.starts_with(PROGRESS)).collect()
    }
}

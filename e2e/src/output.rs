//! Output and exit code of a command.

use std::process::Command;

/// Prefix of the lines in which run.sh reports the progress of a step.
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
    /// Runs a command to completion.
    ///
    /// # Panics
    /// Panics if it cannot be started.
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

    /// Returns the standard output without run.sh's progress lines, which appear only on slow hosts.
    ///
    /// # Panics
    /// Panics if the command failed.
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

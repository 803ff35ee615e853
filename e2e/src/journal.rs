//! Records the output of a long-running program.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::{output::Output, wait::until};

/// A long-running program, such as `kubectl get --watch`, and the lines it has printed.
#[derive(Debug)]
pub struct Journal {
    watcher: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    /// Starts the command and records its output until it ends.
    ///
    /// # Panics
    /// Panics if it cannot be started.
    pub fn keep(mut command: Command) -> Self {
        let mut watcher = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = watcher.stdout.take() {
            let lines = lines.clone();
            thread::spawn(move || write_down(output, &lines));
        }
        Self { watcher, lines }
    }

    /// All lines so far.
    ///
    /// # Panics
    /// Panics if the reader thread has panicked.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .expect("the reader does not panic")
            .clone()
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// Panics if the limit passes before.
    pub fn wait_for(&self, text: &str, limit: Duration) -> String {
        until(limit, &format!("the line {text:?}"), || {
            let mut lines = self.lines();
            match lines.iter().position(|line| line.contains(text)) {
                Some(index) => Ok(lines.swap_remove(index)),
                None => Err(format!("so far:\n{}", lines.join("\n"))),
            }
        })
    }

    /// Sends the program a signal, e.g. `TERM`, and waits until it exits.
    ///
    /// # Panics
    /// Panics if the limit passes before.
    pub fn end(&mut self, signal: &str, limit: Duration) -> ExitStatus {
        let pid = self.watcher.id().to_string();
        Output::of(Command::new("kill").args(["-s", signal, &pid])).success();
        until(limit, &format!("process {pid} to end"), || {
            match self.watcher.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(format!("it is still running after SIG{signal}")),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

fn write_down(output: ChildStdout, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Ok(mut lines) = lines.lock() {
            lines.push(line);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // It may have exited already, together with the cluster.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

//! What a program that keeps running prints while a story goes on.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::{output::Output, wait::until};

/// A program that keeps running, such as `kubectl get --watch`, and the lines it has printed.
#[derive(Debug)]
pub struct Journal {
    watcher: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    /// Start a command that prints until it is ended.
    ///
    /// # Panics
    /// When it cannot be started.
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
    /// When the thread that reads them did.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .expect("the reader does not panic")
            .clone()
    }

    /// Wait for a line that contains `text`, and get it.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn wait_for(&self, text: &str, limit: Duration) -> String {
        until(limit, &format!("the line {text:?}"), || {
            let mut lines = self.lines();
            match lines.iter().position(|line| line.contains(text)) {
                Some(index) => Ok(lines.swap_remove(index)),
                None => Err(format!("so far:\n{}", lines.join("\n"))),
            }
        })
    }

    /// Send the program a signal, e.g. `TERM`, and wait for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(&mut self, signal: &str, limit: Duration) -> ExitStatus {
        let pid = self.watcher.id().to_string();
        Output::of(Command::new("kill").args(["-s", signal, &pid])).success();
        until(limit, &format!("process {pid} to end"), || {
            match self.watcher.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(format!("it runs on after SIG{signal}")),
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
        // It may have ended by itself, with the cluster.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

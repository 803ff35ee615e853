//! What `kubectl --watch` prints while a story goes on.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::wait::until;

/// A kubectl that watches, and the lines it has printed.
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
            .expect("kubectl starts");
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

    /// Wait for a line that contains `text`.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn wait_for(&self, text: &str, limit: Duration) {
        until(limit, &format!("the line {text:?}"), || {
            let lines = self.lines();
            let found = lines.iter().any(|line| line.contains(text));
            found
                .then_some(())
                .ok_or_else(|| format!("so far:\n{}", lines.join("\n")))
        });
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

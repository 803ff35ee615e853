//! Runs a program that `--allow-exec` names: argument list, no shell, bounded time and output, killed as a group.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Output that is kept: its beginning.
const KEPT_OUTPUT: usize = 64 * 1024;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Standard output, then standard error.
    pub(super) output: String,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

impl Ended {
    pub(super) fn state(&self) -> String {
        self.failure
            .clone()
            .unwrap_or_else(|| "finished".to_owned())
    }
}

/// Runs `words` to the end, to the timeout, or until cancelled; children it left behind die with it.
pub(super) async fn run(words: &[String], timeout: Duration, cancel: &CancellationToken) -> Ended {
    let failed = |failure: String| Ended {
        output: String::new(),
        failure: Some(failure),
    };
    let Some((program, arguments)) = words.split_first() else {
        return failed("the command is empty".to_owned());
    };
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot start {program}: {error}")),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let end_group = || {
        if let Some(group) = group {
            // Gone already when nothing was left behind.
            let _ = kill_process_group(group, Signal::KILL);
        }
    };
    let wait = async {
        let status = child.wait().await;
        // What it left running would hold its output open.
        end_group();
        status
    };
    let run = async {
        let (out, err, status) = tokio::join!(read(stdout), read(stderr), wait);
        (out + &err, status)
    };
    let ended = tokio::select! {
        (output, status) = run => {
            let failure = match status {
                Ok(status) if status.success() => None,
                Ok(status) => Some(format!("{program} ended with {status}")),
                Err(error) => Some(format!("cannot wait for {program}: {error}")),
            };
            Ended { output, failure }
        }
        () = tokio::time::sleep(timeout) => failed("timed out".to_owned()),
        () = cancel.cancelled() => failed("cancelled".to_owned()),
    };
    end_group();
    ended
}

/// Reads to the end; keeps the beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let room = KEPT_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run_words(words: &[&str], timeout: Duration) -> Ended {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        run(&words, timeout, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn output_and_failure_are_reported() {
        let limit = Duration::from_secs(20);
        let echo = run_words(&["echo", "a;b $HOME"], limit).await;
        assert_eq!((echo.output.as_str(), echo.failure), ("a;b $HOME\n", None));
        let failing = run_words(&["false"], limit).await;
        assert!(failing.failure.unwrap().contains("exit status: 1"));
        let missing = run_words(&["no-such-program"], limit).await;
        assert!(
            missing
                .failure
                .unwrap()
                .contains("cannot start no-such-program")
        );
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let limit = Duration::from_millis(200);
        let marker = format!("{}.{}", 1_000_000 + std::process::id(), 25);
        let ended = run_words(
            &["sh", "-c", &format!("sleep {marker} & sleep {marker}")],
            limit,
        )
        .await;
        assert_eq!(ended.failure.as_deref(), Some("timed out"));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while is_running(&marker) {
            assert!(
                std::time::Instant::now() < deadline,
                "a child outlived its group"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_does_not_keep_the_caller_waiting() {
        let limit = Duration::from_secs(600);
        let ended = run_words(&["sh", "-c", "sleep 3600 & echo done"], limit).await;
        assert_eq!((ended.output.as_str(), ended.failure), ("done\n", None));
    }

    /// Whether a living process has `argument` on its command line.
    fn is_running(argument: &str) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            words
                .split(|byte| *byte == 0)
                .any(|word| word == argument.as_bytes())
        })
    }
}

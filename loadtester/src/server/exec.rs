//! Runs a program that `--allow-exec` names: with an argument list and no shell, limited time and output, killed as a group.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Contains the server's own secret.
const TOKEN_VARIABLE: &str = "LOADTESTER_TOKEN";
/// Bytes of output that are kept, from its beginning.
const KEPT_OUTPUT: usize = 64 * 1024;
/// Time in which output is still read after the program has ended. A process that left the group outlives the program and
/// may keep its output open for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Standard output, then standard error.
    pub(super) output: String,
    /// Reason of the failure, if it failed.
    pub(super) failure: Option<String>,
}

impl Ended {
    pub(super) fn state(&self) -> String {
        self.failure
            .clone()
            .unwrap_or_else(|| "finished".to_owned())
    }
}

/// Runs `words` until the program ends, times out or is cancelled. Then all processes of its group are killed.
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
        .env_remove(TOKEN_VARIABLE)
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
    let over = CancellationToken::new();
    let leader = async {
        let failure = tokio::select! {
            status = child.wait() => failure_of(program, status),
            () = tokio::time::sleep(timeout) => Some("timed out".to_owned()),
            () = cancel.cancelled() => Some("cancelled".to_owned()),
        };
        // At once, because later another group may have its number.
        end_group(group);
        over.cancel();
        failure
    };
    let (out, err, failure) =
        tokio::join!(read(stdout, late(&over)), read(stderr, late(&over)), leader);
    Ended {
        output: out + &err,
        failure,
    }
}

fn failure_of(program: &str, status: io::Result<ExitStatus>) -> Option<String> {
    match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{program} ended with {status}")),
        Err(error) => Some(format!("cannot wait for {program}: {error}")),
    }
}

fn end_group(group: Option<Pid>) {
    if let Some(group) = group {
        // Fails if no process of the group is left.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Waits until [`LAST_OUTPUT`] after the program has ended.
async fn late(over: &CancellationToken) {
    over.cancelled().await;
    tokio::time::sleep(LAST_OUTPUT).await;
}

/// Reads to the end of the stream or until `late` ends; keeps the beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>, late: impl Future<Output = ()>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    tokio::pin!(late);
    loop {
        let read = tokio::select! {
            read = stream.read(&mut piece) => read,
            () = &mut late => break,
        };
        let Ok(length @ 1..) = read else {
            break;
        };
        let room = KEPT_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::process::kill_process;

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
    async fn a_program_past_its_time_limit_is_killed() {
        let limit = Duration::from_millis(200);
        let ended = run_words(&["sleep", "600"], limit).await;
        assert_eq!(ended.failure.as_deref(), Some("timed out"));
    }

    #[tokio::test]
    async fn a_cancelled_program_dies_with_its_children() {
        let marker = format!("{}.{}", 1_000_000 + std::process::id(), 25);
        let script = format!("echo begun; sleep {marker} & sleep {marker}");
        let words = ["sh", "-c", &script].map(str::to_owned);
        let cancel = CancellationToken::new();
        let end_it = async {
            wait_for(|| running(&marker) == 2, "the children do not run").await;
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(run(&words, Duration::from_secs(600), &cancel), end_it);
        assert_eq!(ended.failure.as_deref(), Some("cancelled"));
        assert_eq!(ended.output, "begun\n");
        wait_for(|| running(&marker) == 0, "a child outlived its group").await;
    }

    #[tokio::test]
    async fn a_process_that_left_the_group_does_not_keep_the_caller_waiting() {
        let script = "exec 3>&1; echo $(setsid sh -c 'sleep 60 >&3 2>&3 & echo $!')";
        let ended = run_words(&["sh", "-c", script], Duration::from_secs(20)).await;
        assert_eq!(ended.failure, None);
        let left = Pid::from_raw(ended.output.trim().parse().unwrap()).unwrap();
        // It was still running, with the output open.
        kill_process(left, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_background_child_dies_with_its_program_and_does_not_keep_the_caller_waiting() {
        let limit = Duration::from_secs(600);
        let ended = run_words(&["sh", "-c", "sleep 600 & echo $!"], limit).await;
        assert_eq!(ended.failure, None);
        let left = Path::new("/proc").join(ended.output.trim()).join("cmdline");
        // Empty for a zombie.
        let is_gone = || std::fs::read(&left).unwrap_or_default().is_empty();
        wait_for(is_gone, "a child outlived its program").await;
    }

    /// Number of living processes with `argument` on their command line.
    fn running(argument: &str) -> usize {
        let has_it = |entry: &std::fs::DirEntry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            words
                .split(|byte| *byte == 0)
                .any(|word| word == argument.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter(has_it).count()
    }

    async fn wait_for(condition: impl Fn() -> bool, otherwise: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(std::time::Instant::now() < deadline, "{otherwise}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

//! Children of the shim when their parent is killed.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::support::{DEADLINE, claim_block};

#[tokio::test]
async fn a_child_dies_with_its_parent_even_after_kill_9() {
    let (block, _claim) = claim_block();
    let parent = Command::new(env!("CARGO_BIN_EXE_localcluster-test-app"))
        .arg("parent")
        .env("BIND_ADDRESS", format!("127.{block}.1.1"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut parent = Killed(parent);
    let mut line = String::new();
    BufReader::new(parent.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let child: i32 = line.trim().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(runs(child));
    parent.end();
    let deadline = Instant::now() + DEADLINE;
    while runs(child) {
        assert!(
            Instant::now() < deadline,
            "process {child} outlived its parent"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

/// A process that is killed on drop.
struct Killed(Child);

impl Killed {
    fn end(&mut self) {
        // Fails only if it has been reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns whether the process exists and is not a zombie, which only its new parent can reap.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}

use std::path::Path;

use tokio::{io::AsyncReadExt, time::Instant};
use tokio_util::sync::CancellationToken;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Launch {
    Launch {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("GREETING".into(), "hello".into()),
        ],
        cwd: "/".into(),
    }
}

async fn start(script: &str) -> (Process, Arc<Tail>) {
    let tail = Arc::new(Tail::new(100));
    let process = Spawner::default()
        .spawn(&shell(script), tail.clone())
        .await
        .unwrap();
    (process, tail)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn is_gone(pid: i32) -> bool {
    // A zombie of a killed group counts as gone: only its parent can reap it.
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z')),
    }
}

#[tokio::test]
async fn output_of_both_streams_and_the_exit_code_are_reported() {
    let (mut process, tail) = start("echo $GREETING; echo oops >&2; exit 3").await;
    assert_eq!(process.wait().await.unwrap(), Exit::Code(3));
    let mut lines: Vec<String> = tail.text().lines().map(Into::into).collect();
    lines.sort();
    assert_eq!(lines, ["hello", "oops"]);
}

#[tokio::test]
async fn a_child_inherits_no_environment() {
    let (mut process, tail) = start("env | cut -d= -f1 | sort | tr '\\n' ' '").await;
    process.wait().await.unwrap();
    let names: Vec<String> = tail.text().split_whitespace().map(Into::into).collect();
    // The shell sets PWD, SHLVL and _ itself.
    let given = names
        .iter()
        .filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(&name.as_str()));
    assert_eq!(given.collect::<Vec<_>>(), ["GREETING", "PATH"]);
}

#[tokio::test]
async fn stop_lets_a_process_that_handles_sigterm_end_by_itself() {
    let (mut process, tail) =
        start("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done").await;
    until("the trap is set", || tail.text() == "up").await;
    assert_eq!(process.stop(DEADLINE).await.unwrap(), Exit::Code(7));
    assert!(tail.text().ends_with("bye"));
}

#[tokio::test]
async fn stop_kills_a_process_that_ignores_sigterm_after_the_grace_period() {
    let (mut process, tail) = start("trap '' TERM; echo up; while :; do sleep 0.01; done").await;
    until("the trap is set", || tail.text() == "up").await;
    let exit = process.stop(Duration::from_millis(100)).await.unwrap();
    assert_eq!(exit, Exit::Signal(9));
    assert_eq!(exit.code(), 137);
}

#[tokio::test]
async fn background_processes_are_killed_when_the_leader_exits() {
    let (mut process, tail) = start("sleep 1000 & echo $!").await;
    process.wait().await.unwrap();
    let left: i32 = tail.text().trim().parse().unwrap();
    until("the background process is gone", || is_gone(left)).await;
}

#[tokio::test]
async fn dropping_a_process_kills_it() {
    let (process, _) = start("sleep 1000").await;
    let pid = process.pid().as_raw_nonzero().get();
    drop(process);
    until("the process is gone", || is_gone(pid)).await;
}

#[tokio::test]
async fn the_error_for_a_missing_program_names_it() {
    let launch = Launch {
        program: "/no/such/program".into(),
        ..shell("")
    };
    for spawner in [Spawner::default(), Spawner::new(Some("/bin/true".into()))] {
        let error = spawner.spawn(&launch, Arc::new(())).await.unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}

#[test]
fn the_shim_command_line_names_parent_and_program() {
    let line = shim::arguments(42, Path::new("/images/app"));
    assert_eq!(line, ["shim", "--parent", "42", "--", "/images/app"]);
}

#[test]
fn the_shim_refuses_a_pid_that_is_not_its_parent() {
    let error = shim::run(1_999_999_999, Path::new("/bin/true"), &[]);
    assert!(error.to_string().contains("1999999999"), "{error}");
    // Undo the signal that `run` set on this thread.
    rustix::process::set_parent_process_death_signal(None).unwrap();
}

#[tokio::test]
async fn a_supervised_child_is_restarted_and_its_last_output_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("logs/child.log");
    let policy = RestartPolicy {
        first_delay: Duration::from_millis(1),
        ..RestartPolicy::default()
    };
    let shutdown = CancellationToken::new();
    let launch = shell("echo cannot bind; exit 4");
    let child = Supervisor::start(
        "test",
        Spawner::default(),
        launch,
        log.clone(),
        policy,
        shutdown.clone(),
    );
    let mut state = child.state();
    let failing = timeout(
        DEADLINE,
        state.wait_for(|state| matches!(state, ChildState::Failing { failures: 3, .. })),
    );
    let ChildState::Failing { error, .. } = failing.await.unwrap().unwrap().clone() else {
        unreachable!()
    };
    assert!(
        error.contains("exit code 4") && error.contains("cannot bind"),
        "{error}"
    );
    shutdown.cancel();
    timeout(DEADLINE, child.stopped()).await.unwrap();
    let mut text = String::new();
    tokio::fs::File::open(log)
        .await
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert!(text.lines().count() >= 3);
}

#[tokio::test]
async fn shutdown_ends_a_supervised_child() {
    let folder = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let child = Supervisor::start(
        "test",
        Spawner::default(),
        shell("exec sleep 1000"),
        folder.path().join("log"),
        RestartPolicy::default(),
        shutdown.clone(),
    );
    let mut state = child.state();
    let pid = loop {
        if let ChildState::Running { pid } = *state.borrow_and_update() {
            break pid;
        }
        timeout(DEADLINE, state.changed()).await.unwrap().unwrap();
    };
    shutdown.cancel();
    timeout(DEADLINE, child.stopped()).await.unwrap();
    assert!(is_gone(pid));
    assert_eq!(*state.borrow_and_update(), ChildState::Stopped);
}

#[test]
fn the_restart_delay_doubles_up_to_its_limit() {
    let policy = RestartPolicy {
        first_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(5),
        ..RestartPolicy::default()
    };
    let delays: Vec<u64> = (1..=5)
        .map(|failures| policy.delay(failures).as_secs())
        .collect();
    assert_eq!(delays, [1, 2, 4, 5, 5]);
    assert_eq!(policy.delay(u32::MAX), policy.max_delay);
}

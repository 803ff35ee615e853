//! Tests of the binary that need no cluster.

use std::{
    path::Path,
    process::{Command, Output},
};

fn localcluster(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localcluster"));
    command
        .env("LOCALCLUSTER_STATE", state)
        .args(args)
        .output()
        .expect("cannot start the binary")
}

/// Standard output and standard error.
fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_image_can_be_built_listed_and_removed() {
    let state = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_localcluster");
    let build = [
        "image",
        "build",
        "-t",
        "app:1",
        "-t",
        "app:2",
        "--from",
        program,
        "--env",
        "VERSION=1",
    ];
    let built = localcluster(state.path(), &build);
    assert!(built.status.success(), "{:?}", texts(&built));
    let (listed, _) = texts(&localcluster(state.path(), &["image", "ls"]));
    assert!(
        listed.contains("/app:1 ") && listed.contains("/app:2 "),
        "{listed}"
    );
    assert!(
        localcluster(state.path(), &["image", "rm", "app:1"])
            .status
            .success()
    );
    let (listed, _) = texts(&localcluster(state.path(), &["image", "ls"]));
    assert!(
        !listed.contains("/app:1 ") && listed.contains("/app:2 "),
        "{listed}"
    );
}

#[test]
fn the_error_of_an_invalid_command_names_the_argument() {
    let state = tempfile::tempdir().unwrap();
    for (args, words) in [
        (
            &[
                "image",
                "build",
                "-t",
                "app:1",
                "--from",
                "/no/such/program",
            ][..],
            "/no/such/program",
        ),
        (&["image", "build", "-t", "A B", "--from", "/bin/sh"], "A B"),
        (
            &[
                "image", "build", "-t", "app:1", "--from", "/bin/sh", "--env", "VERSION",
            ],
            "NAME=VALUE",
        ),
        (&["image", "rm", "app:1"], "app:1 is not in the image store"),
        (&["up", "--ingress", "here"], "ADDRESS:PORT"),
    ] {
        let output = localcluster(state.path(), args);
        let (_, errors) = texts(&output);
        assert!(!output.status.success(), "{args:?}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
}

#[test]
fn without_a_cluster_status_exits_with_3_and_stop_succeeds() {
    let state = tempfile::tempdir().unwrap();
    let status = localcluster(state.path(), &["status"]);
    assert_eq!(status.status.code(), Some(3), "{:?}", texts(&status));
    let stop = localcluster(state.path(), &["stop"]);
    assert!(stop.status.success());
    assert_eq!(texts(&stop).0, "no cluster was running\n");
}

#[test]
fn the_shim_executes_its_program_only_for_its_own_parent() {
    let state = tempfile::tempdir().unwrap();
    let own = std::process::id().to_string();
    let output = localcluster(
        state.path(),
        &[
            "shim",
            "--parent",
            &own,
            "--",
            "/bin/sh",
            "-c",
            "echo $$; exit 7",
        ],
    );
    assert_eq!(output.status.code(), Some(7), "{:?}", texts(&output));
    let orphan = localcluster(state.path(), &["shim", "--parent", "1", "--", "/bin/true"]);
    assert_eq!(orphan.status.code(), Some(1));
    assert!(
        texts(&orphan).1.contains("parent process 1 has ended"),
        "{:?}",
        texts(&orphan)
    );
}

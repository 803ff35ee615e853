//! `./run.sh up --on current`: on a cluster where much is there already.

use std::process::Command;

use e2e::{Cluster, Output, http};
use tempfile::TempDir;

/// Someone who comes to the cluster with a kubeconfig and a directory of their own.
fn visitor(cluster: &Cluster, directory: &TempDir, args: &[&str]) -> Command {
    let mut command = e2e::run_sh(directory.path());
    command
        .env("KUBECONFIG", cluster.local_dir().join("kubeconfig"))
        .args(args);
    command
}

/// Name and identity of everything that `up` deploys.
fn objects(cluster: &Cluster) -> String {
    cluster.kubectl(&[
        "get",
        "deployments,canaries,metrictemplates,serviceaccounts,services",
        "--all-namespaces",
        "--output",
        "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.metadata.generation}{\"\\n\"}{end}",
    ])
}

#[test]
fn what_was_there_is_neither_changed_by_up_nor_removed_by_down() {
    let cluster = Cluster::up();
    let directory = TempDir::new().expect("a temporary directory");
    let before = objects(&cluster);

    let said = Output::of(&mut visitor(
        &cluster,
        &directory,
        &["up", "--on", "current"],
    ))
    .success();
    assert!(
        said.contains("left as they are, because they were there before:"),
        "{said}"
    );
    assert!(said.contains("deployment.apps/simple-app"), "{said}");
    assert_eq!(objects(&cluster), before);
    Output::of(&mut visitor(&cluster, &directory, &["down"])).success();
    assert_eq!(objects(&cluster), before);

    // What is missing is made, found again by a second run, and it alone goes with `down`.
    let missing = ["metrictemplate", "request-processing-seconds-avg"];
    cluster.kubectl(&[&["delete"], &missing[..]].concat());
    let without = objects(&cluster);
    for _ in ["made", "repaired"] {
        let up = Output::of(&mut visitor(
            &cluster,
            &directory,
            &["up", "--on", "current"],
        ));
        let said = up.success();
        assert!(!said.contains(missing[1]), "{said}");
        cluster.kubectl(&[&["get"], &missing[..]].concat());
    }
    Output::of(&mut visitor(&cluster, &directory, &["down"])).success();
    assert_eq!(objects(&cluster), without);
    assert_eq!(
        http::get(&cluster.app()).expect("an answer").body,
        "version: 1.0.0"
    );
}

#[test]
fn a_context_that_changed_in_between_is_refused() {
    let cluster = Cluster::none_yet();
    let directory = TempDir::new().expect("a temporary directory");
    std::fs::write(directory.path().join("on"), "current\n").expect("written");
    std::fs::write(directory.path().join("context"), "staging\n").expect("written");
    let kubeconfig = directory.path().join("kubeconfig");
    let text = r#"{"apiVersion":"v1","kind":"Config","current-context":"production"}"#;
    std::fs::write(&kubeconfig, text).expect("written");
    for verb in ["up", "down"] {
        let mut command = visitor(&cluster, &directory, &[verb]);
        let refused = Output::of(command.env("KUBECONFIG", &kubeconfig));
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        assert!(
            refused
                .stderr
                .contains("used on context staging, kubectl now points at production"),
            "{}",
            refused.stderr
        );
    }
}

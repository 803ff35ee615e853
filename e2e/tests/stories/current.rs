//! `./run.sh up --on current` on a cluster that already has many of the objects.

use std::process::Command;

use e2e::{Cluster, Machine, Output, http};
use tempfile::TempDir;

/// The nodes of the local cluster have the images without a registry prefix.
const UP: [&str; 5] = ["up", "--on", "current", "--images", ""];

/// Prepares `./run.sh ARGS` for the cluster's kubeconfig, with a separate directory.
fn visitor(cluster: &Cluster, directory: &TempDir, args: &[&str]) -> Command {
    let mut command = e2e::run_sh(directory.path());
    command
        .env("KUBECONFIG", cluster.local_dir().join("kubeconfig"))
        .args(args);
    command
}

/// Lists name, uid and generation of everything that `up` deploys.
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
fn existing_objects_are_neither_changed_by_up_nor_removed_by_down() {
    let cluster = Cluster::up();
    let directory = TempDir::new().expect("a temporary directory");
    let before = objects(&cluster);

    let output = Output::of(&mut visitor(&cluster, &directory, &UP)).success();
    assert!(
        output.contains("unchanged, because they already existed:"),
        "{output}"
    );
    assert!(output.contains("deployment.apps/simple-app"), "{output}");
    assert_eq!(objects(&cluster), before);
    Output::of(&mut visitor(&cluster, &directory, &["down"])).success();
    assert_eq!(objects(&cluster), before);

    // A missing object is created, recognized by a second run, and the only one removed by `down`.
    let missing = ["metrictemplate", "request-processing-seconds-avg"];
    cluster.kubectl(&[&["delete"], &missing[..]].concat());
    let without = objects(&cluster);
    for _ in ["created", "repaired"] {
        let up = Output::of(&mut visitor(&cluster, &directory, &UP));
        let output = up.success();
        assert!(!output.contains(missing[1]), "{output}");
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
fn a_changed_context_is_rejected() {
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
                .contains("used context staging, but kubectl now points at production"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn an_empty_cluster_gets_everything_with_images_of_the_registry_until_down() {
    let cluster = Cluster::up();
    cluster.kubectl(&["delete", "--wait", "-k", "manifests/base"]);
    let directory = TempDir::new().expect("a temporary directory");
    let registry = ["up", "--on", "current", "--images", "docker.io/library"];
    Output::of(&mut visitor(&cluster, &directory, &registry)).success();
    // A second run remembers the images' location.
    Output::of(&mut visitor(&cluster, &directory, &["up"])).success();
    let images =
        "jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}{\"\\n\"}{end}";
    let deployments = ["get", "deployments", "--all-namespaces", "--output", images];
    let mut found = cluster.kubectl(&deployments);
    assert_eq!(
        found.lines().collect::<std::collections::BTreeSet<_>>(),
        [
            "docker.io/library/canary-controller:0.1.0",
            "docker.io/library/loadtester:0.1.0",
            "docker.io/library/simple-app:1.0.0",
        ]
        .into()
    );
    Output::of(&mut visitor(&cluster, &directory, &["down"])).success();
    found = cluster.kubectl(&deployments);
    assert_eq!(found, "", "the primary is deleted with the Canary");
    let left = std::fs::read_dir(directory.path()).expect("a directory");
    assert_eq!(left.count(), 0, "no file is left behind");
}

/// A machine with only a kubectl whose commands all succeed.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.program(
        "kubectl",
        r#"case "$*" in
  version*) echo "Client Version: v1.34.1" ;;
  *"get ${LACKING:-nothing} "*) exit 1 ;;
  *current-context*) echo ours ;;
esac"#,
    );
    machine
}

#[test]
fn without_a_prefix_the_commands_to_build_and_push_the_images_are_printed() {
    let machine = machine();
    let refused = Output::of(&mut machine.command(&["up", "--on", "current"]));
    assert_eq!(refused.code, 64);
    for line in [
        "docker build --file Dockerfile.controller --target loadtester --tag PREFIX/loadtester:0.1.0 .",
        "./run.sh up --on current --images registry.example.com/team/",
        "--images ''",
    ] {
        assert!(refused.stderr.contains(line), "{line}: {}", refused.stderr);
    }
    let odd = Output::of(&mut machine.command(&["up", "--on", "current", "--images", "a b"]));
    assert_eq!(odd.code, 64, "{}", odd.stderr);
    let local = Output::of(&mut machine.command(&["up", "--on", "local", "--images", "r.io/"]));
    assert_eq!(local.code, 64, "{}", local.stderr);
    assert_eq!(machine.files("local"), [""; 0], "nothing was started");
}

#[test]
fn missing_prerequisites_of_the_cluster_are_reported_before_anything_is_changed() {
    let machine = machine();
    let missing = "customresourcedefinition/podmonitors.monitoring.coreos.com";
    let mut command = machine.command(&["up", "--on", "current", "--images", "r.io/team"]);
    let refused = Output::of(command.env("LACKING", missing));
    assert_eq!(refused.code, 1);
    for words in [
        "context ours lacks",
        missing,
        "https://prometheus-operator.dev",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    let calls = machine.calls();
    assert!(
        !calls.iter().any(|call| call.contains("apply")),
        "{calls:#?}"
    );
    assert_eq!(machine.files("local"), [""; 0], "nothing was started");
}

#[test]
fn the_ambient_profile_requires_ambient_mode_and_reports_missing_labels() {
    let machine = machine();
    let mut up = UP.to_vec();
    up.extend(["--profile", "ambient"]);
    for (missing, from) in [
        ("gatewayclass/istio-waypoint", "Istio's ambient mode: https"),
        (
            "customresourcedefinition/httproutes.gateway.networking.k8s.io",
            "the Gateway API: https",
        ),
    ] {
        let refused = Output::of(machine.command(&up).env("LACKING", missing));
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        for words in [missing, from] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }
    }
    // VirtualServices may be missing. The run fails later, after the note.
    let kind = "customresourcedefinition/virtualservices.networking.istio.io";
    let mut command = machine.command(&up);
    let output = Output::of(command.env("LACKING", kind).env("FAIL_ON", "apply"));
    let labels = "kubectl label namespace default istio.io/dataplane-mode=ambient istio.io/use-waypoint=waypoint";
    assert!(
        output.stdout.contains(labels),
        "{}{}",
        output.stdout,
        output.stderr
    );
}

#[test]
fn a_dry_run_prints_the_overlay_and_every_command() {
    let machine = machine();
    let args = [
        "up",
        "--on",
        "current",
        "--images",
        "r.io/team",
        "--dry-run",
    ];
    let printed = Output::of(&mut machine.command(&args)).success();
    assert!(
        printed.contains("    newName: r.io/team/canary-controller\n"),
        "{printed}"
    );
    assert!(
        printed.contains("/overlay/kustomization.yaml <<'YAML'\n"),
        "{printed}"
    );
    assert!(printed.contains("kubectl apply -f OBJECT"), "{printed}");
    assert_eq!(machine.calls(), [""; 0]);
    assert_eq!(machine.files("local"), [""; 0], "nothing is written either");
}

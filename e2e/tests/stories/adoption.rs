//! Migration from Flagger with real pods: no pod restarts, neither between releases nor during one.

use std::time::Duration;

use e2e::{Cluster, http, until};

const SOON: Duration = Duration::from_secs(60);

fn scale_controller(cluster: &Cluster, replicas: u32) {
    let controller = "deployment/canary-controller";
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&[
        "scale",
        controller,
        "--namespace",
        "istio-system",
        &replicas,
    ]);
    let timeout = ["--namespace", "istio-system", "--timeout", "60s"];
    cluster.kubectl(&[&["rollout", "status", controller], &timeout[..]].concat());
}

/// Rewrites status and primary as Flagger leaves them: with its own hashes and without this controller's additions.
fn restore_flagger_state(cluster: &Cluster) {
    scale_controller(cluster, 0);
    until(SOON, "the controller's pods to be removed", || {
        let pods = cluster.kubectl(&[
            "get",
            "pods",
            "--namespace",
            "istio-system",
            "--output",
            "name",
        ]);
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    });
    let status = r#"{"status":{"lastAppliedSpec":"7f9c8d6b54","lastPromotedSpec":"58b7dfc94c","checks":null,
        "lastCheckTime":null,"phaseSince":null,"runStarted":null,"preRolloutDone":null,"waiting":null}}"#;
    let canary = ["patch", "canary", "simple-app", "--subresource", "status"];
    cluster.kubectl(&[&canary[..], &["--type", "merge", "--patch", status]].concat());
    cluster.kubectl(&[
        "annotate",
        "deployment",
        "simple-app-primary",
        "flagger.app/copied-revision-",
        "flagger.app/copied-configs-",
    ]);
}

fn take_over(cluster: &Cluster) {
    scale_controller(cluster, 2);
    until(SOON, "the controller's own status", || {
        let output = "jsonpath={.status.lastAppliedSpec}";
        let revision = cluster.kubectl(&["get", "canary", "simple-app", "--output", output]);
        if revision.starts_with("sha256:") {
            Ok(())
        } else {
            Err(revision)
        }
    });
}

/// Lists names and uids of the app's ReplicaSets and pods, with their restarts.
fn pods(cluster: &Cluster) -> String {
    let mut seen = String::new();
    for (kind, fields) in [
        (
            "replicasets",
            "{.metadata.name} {.metadata.uid} {.spec.replicas}",
        ),
        (
            "pods",
            "{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount}",
        ),
    ] {
        let output = format!("jsonpath={{range .items[*]}}{fields}{{\"\\n\"}}{{end}}");
        let selector = "app in (simple-app, simple-app-primary)";
        seen += &cluster.kubectl(&["get", kind, "--selector", selector, "--output", &output]);
    }
    seen
}

fn weight(cluster: &Cluster) -> u32 {
    let output = "jsonpath={.spec.http[0].route[1].weight}";
    let text = cluster.kubectl(&["get", "virtualservice", "simple-app", "--output", output]);
    text.parse().expect("a weight")
}

#[test]
fn a_migration_from_flagger_restarts_no_pod_and_continues_a_release_at_its_weight() {
    let cluster = Cluster::up();
    until(SOON, "the target's pods to be removed", || {
        let selector = ["--selector", "app=simple-app", "--output", "name"];
        let pods = cluster.kubectl(&[&["get", "pods"], &selector[..]].concat());
        if pods.is_empty() { Ok(()) } else { Err(pods) }
    });
    restore_flagger_state(&cluster);
    let before = pods(&cluster);
    take_over(&cluster);
    assert_eq!(pods(&cluster), before);
    assert_eq!(cluster.phase(), "Initialized");

    cluster.set_image("1.0.1");
    until(SOON, "a weight", || match weight(&cluster) {
        weight @ 20.. => Ok(weight),
        weight => Err(weight.to_string()),
    });
    restore_flagger_state(&cluster);
    let (left_at, before) = (weight(&cluster), pods(&cluster));
    assert!(left_at >= 20 && cluster.phase() == "Progressing");
    take_over(&cluster);
    assert_eq!(pods(&cluster), before);
    assert!(weight(&cluster) >= left_at);

    cluster.wait_for_phase(&["Succeeded", "Failed"], Duration::from_secs(120));
    assert_eq!(cluster.phase(), "Succeeded");
    let answer = http::get(&cluster.app()).expect("an answer");
    assert_eq!(answer.body, "version: 1.0.1");
}

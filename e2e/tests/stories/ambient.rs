//! `./run.sh up --on local --profile ambient`: releases with routes of the Gateway API.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Journal, Output, Traffic, burst, run_sh};
use tempfile::TempDir;

/// One step of 15 s plus a margin for a busy host.
const STEP: Duration = Duration::from_secs(60);

fn up() -> Cluster {
    let cluster = Cluster::none_yet();
    let up = ["up", "--on", "local", "--profile", "ambient"];
    cluster.run(&up).success();
    cluster
}

/// Watches the weights of primary and canary in the HTTPRoute, one `PRIMARY CANARY` per line.
fn weights(cluster: &Cluster) -> Journal {
    let columns = "custom-columns=PRIMARY:.spec.rules[0].backendRefs[0].weight,CANARY:.spec.rules[0].backendRefs[1].weight";
    let get = ["get", "httproute", "simple-app", "--watch", "--no-headers"];
    Journal::keep(cluster.kubectl_command(&[&get[..], &["--output", columns]].concat()))
}

#[test]
fn a_good_version_is_promoted_with_httproute_weights_and_without_a_failed_request() {
    let cluster = up();
    // Long enough to count the responses of each step.
    let slower = r#"{"spec":{"analysis":{"interval":"15s"}}}"#;
    let patch = ["patch", "canary", "simple-app", "--type", "merge"];
    cluster.kubectl(&[&patch[..], &["--patch", slower]].concat());
    let (events, weights) = (cluster.canary_events(), weights(&cluster));
    let users = Traffic::start(&cluster.app(), 2);
    cluster.set_image("1.0.1");
    for weight in [10, 20, 30, 40, 50] {
        let advance = format!("Advance simple-app.default canary weight {weight}");
        events.wait_for(&advance, STEP * 2);
        let sample = burst(&cluster.app(), 4_000, 8);
        assert!(sample.failures.is_empty(), "at weight {weight}: {sample:?}");
        let share = sample.percent("1.0.1");
        assert!(
            (share - f64::from(weight)).abs() <= 4.0,
            "{share} % at weight {weight}: {sample:?}"
        );
    }
    events.wait_for("Promotion completed!", STEP * 3);
    cluster.wait_for_phase(&["Succeeded"], STEP);
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.1"), 100.0);

    let mut seen: Vec<Vec<u32>> = weights
        .lines()
        .iter()
        .map(|line| line.split_whitespace().flat_map(str::parse).collect())
        .collect();
    // Other changes of the object, e.g. of its status, repeat the same weights.
    seen.dedup();
    assert_eq!(
        seen,
        [
            [100, 0],
            [90, 10],
            [80, 20],
            [70, 30],
            [60, 40],
            [50, 50],
            [100, 0],
        ]
    );
    let none = cluster.kubectl(&["get", "virtualservices", "--all-namespaces"]);
    assert_eq!(none, "", "all routes are of the Gateway API");
}

#[test]
fn a_version_with_errors_is_rolled_back_by_the_metrics_of_the_waypoint() {
    let cluster = up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    let output = cluster.run(&["release", "1.0.3-errors"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let reason = r"Warning +Halt simple-app.default advancement success-rate [67]\d(\.\d+)? < 99";
    let reason = regex::Regex::new(reason).unwrap();
    let lines = events.lines();
    assert!(lines.iter().any(|line| reason.is_match(line)), "{lines:#?}");
    assert_eq!(cluster.phase(), "Failed");
    let sample = users.stop();
    let foreign = sample.failures_besides("1.0.3-errors");
    assert!(foreign.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.0"), 100.0);
}

#[test]
fn the_profile_is_remembered_and_the_other_one_is_rejected_until_down() {
    let cluster = up();
    let refused = cluster.run(&["up", "--on", "local", "--profile", "sidecar"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    let sentence = "a cluster with profile ambient is up; remove it with ./run.sh down before using --profile sidecar";
    assert!(refused.stderr.contains(sentence), "{}", refused.stderr);

    let repaired = cluster.run(&["up"]).success();
    assert!(
        repaired.contains("Canary release on: local, profile ambient (already up)"),
        "{repaired}"
    );
    // The page is served through the app's Gateway, although it is in another namespace.
    let urls = cluster.run(&["urls"]).success();
    let page = urls
        .lines()
        .find_map(|line| line.trim().strip_prefix("rollouts"));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail"])
        .args(["--retry", "5", "--retry-all-errors"])
        .arg(page.expect("urls names the page").trim())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    let page = Output::of(&mut curl).success();
    assert!(page.contains("simple-app"), "{page}");

    // The overlays of other cluster kinds are valid here too.
    for overlay in ["cluster-ambient", "minikube-ambient"] {
        let overlay = format!("manifests/overlays/{overlay}");
        let check = ["apply", "--dry-run=server", "--validate=strict", "-k"];
        let output = cluster.kubectl(&[&check[..], &[&overlay]].concat());
        assert!(output.contains("gateway.gateway.networking"), "{output}");
    }
}

#[test]
fn up_on_current_keeps_an_existing_waypoint_creates_a_missing_one_and_down_removes_only_its_own() {
    let cluster = up();
    let directory = TempDir::new().expect("a temporary directory");
    let visitor = |args: &[&str]| {
        let mut command = run_sh(directory.path());
        command.env("KUBECONFIG", cluster.local_dir().join("kubeconfig"));
        Output::of(command.args(args)).success()
    };
    let up = ["up", "--on", "current", "--profile", "ambient", "--images"];
    let up = [&up[..], &[""]].concat();
    let waypoint = ["gateways.gateway.networking.k8s.io", "waypoint"];
    let left = "gateway.gateway.networking.k8s.io/waypoint";
    let output = visitor(&up);
    for words in [
        "unchanged, because they already existed:",
        left,
        "ok    Waypoint is programmed",
        "service/simple-app-istio 8080:80",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(!output.contains("kubectl label namespace"), "{output}");
    visitor(&["down"]);
    cluster.kubectl(&[&["get"], &waypoint[..]].concat());

    cluster.kubectl(&[&["delete"], &waypoint[..]].concat());
    let output = visitor(&up);
    assert!(!output.contains(left), "{output}");
    cluster.kubectl(&[&["get"], &waypoint[..]].concat());
    visitor(&["down"]);
    let gone = cluster.try_kubectl(&[&["get"], &waypoint[..]].concat());
    assert!(gone.stderr.contains("NotFound"), "{gone:?}");
    // Everything else is unchanged.
    cluster.kubectl(&["get", "canary", "simple-app"]);
}

//! A release with the unmodified manifests of the original article: its Canary, interval and load.

use std::time::Duration;

use e2e::{Cluster, Traffic, burst, until};

/// One step of 20 s plus a margin for a busy host.
const STEP: Duration = Duration::from_secs(60);

#[test]
fn the_articles_manifests_release_a_new_version_step_by_step_without_a_failed_request() {
    let cluster = Cluster::up();
    // The article's four files replace the cluster's own app, which is deleted with its dependents.
    cluster.kubectl(&[
        "delete",
        "canary/simple-app",
        "deployment/simple-app",
        "metrictemplate/request-processing-seconds-avg",
    ]);
    until(STEP, "the primary to be removed", || {
        let left = cluster.kubectl(&[
            "get",
            "pods",
            "--selector",
            "app=simple-app-primary",
            "--output",
            "name",
        ]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    cluster.kubectl(&["apply", "--filename", "manifests/examples/original"]);
    cluster.wait_for_phase(&["Initialized"], STEP);

    let (events, status) = (cluster.canary_events(), cluster.canary_status());
    // kubectl lists past events in any order, later ones in their order.
    events.wait_for("Initialization done! simple-app.default", STEP);
    let users = Traffic::start(&cluster.app(), 2);
    cluster.set_image("1.0.1");
    events.wait_for("New revision detected! Scaling up simple-app.default", STEP);
    events.wait_for("Starting canary analysis for simple-app.default", STEP);
    for weight in [10, 20, 30, 40, 50] {
        events.wait_for(
            &format!("Advance simple-app.default canary weight {weight}"),
            STEP * 2,
        );
        let sample = burst(&cluster.app(), 10_000, 8);
        assert!(sample.failures.is_empty(), "at weight {weight}: {sample:?}");
        let share = sample.percent("1.0.1");
        assert!(
            (share - f64::from(weight)).abs() <= 3.0,
            "{share} % at weight {weight}: {sample:?}"
        );
    }
    events.wait_for(
        "Promotion completed! Scaling down simple-app.default",
        STEP * 3,
    );
    cluster.wait_for_phase(&["Succeeded"], STEP);
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    let after = burst(&cluster.app(), 100, 2);
    assert_eq!(after.answers.keys().collect::<Vec<_>>(), ["version: 1.0.1"]);

    // A normal release includes a Warning that there are no samples yet.
    let lines = events.lines().into_iter();
    let release = lines.skip_while(|line| !line.contains("New revision detected!"));
    let normal: Vec<String> = release.filter(|line| line.starts_with("Normal")).collect();
    insta::assert_snapshot!(normal.join("\n"));
    for weight in [10, 20, 30, 40, 50] {
        let seen = format!("Progressing {weight}");
        let squeezed = status
            .lines()
            .iter()
            .any(|line| line.split_whitespace().eq(seen.split(' ')));
        assert!(squeezed, "kubectl get canary showed {:?}", status.lines());
    }
}

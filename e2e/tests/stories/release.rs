//! `./run.sh release`: promotion, and rollback with its reason.

use std::time::Duration;

use e2e::{Cluster, Traffic, burst};

const RELEASE: Duration = Duration::from_secs(180);

#[test]
fn a_good_version_is_promoted_without_a_failed_request() {
    let cluster = Cluster::up();
    let users = Traffic::start(&cluster.app(), 2);
    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(cluster.phase(), "Succeeded");
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.1"), 100.0);
}

#[test]
fn a_slow_version_is_rolled_back_with_metric_value_and_limit_in_the_event() {
    let cluster = Cluster::up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    let output = cluster.run(&["release", "1.0.2-slow"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let reason = regex::Regex::new(
        r"Warning +Halt simple-app.default advancement request-processing-seconds-avg [34]\.\d\d > 3",
    );
    let reason = reason.unwrap();
    let lines = events.lines();
    assert!(lines.iter().any(|line| reason.is_match(line)), "{lines:#?}");
    events.wait_for(
        "Rolling back simple-app.default failed checks threshold reached 5",
        RELEASE,
    );
    events.wait_for("Canary failed! Scaling down simple-app.default", RELEASE);
    assert_eq!(cluster.phase(), "Failed");
    // Slow responses are not failures.
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.0"), 100.0);
}

#[test]
fn a_version_with_errors_is_rolled_back_and_the_primary_serves_every_request() {
    let cluster = Cluster::up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    let output = cluster.run(&["release", "1.0.3-errors"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    let reason = regex::Regex::new(
        r"Warning +Halt simple-app.default advancement success rate [67]\d\.\d\d% < 99%",
    )
    .unwrap();
    let lines = events.lines();
    assert!(lines.iter().any(|line| reason.is_match(line)), "{lines:#?}");
    assert_eq!(cluster.phase(), "Failed");
    // All errors came from the canary: error responses name the version.
    let sample = users.stop();
    let foreign = sample.failures_besides("1.0.3-errors");
    assert!(foreign.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.0"), 100.0);

    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(
        output.code, 0,
        "the fixed version is promoted: {}{}",
        output.stdout, output.stderr
    );
}

#[test]
fn a_version_without_an_image_is_rejected_before_anything_is_changed() {
    let cluster = Cluster::up();
    let refused = cluster.run(&["release", "9.9.9"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("image simple-app:9.9.9 does not exist; available:"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("1.0.2-slow"), "{}", refused.stderr);
    assert_eq!(cluster.phase(), "Initialized");
}

//! Releases by `./run.sh release`: promoted, or rolled back with the reason.

use std::time::Duration;

use e2e::{Cluster, Traffic, burst};

const RELEASE: Duration = Duration::from_secs(180);

#[test]
fn a_good_version_is_promoted_without_a_failed_request() {
    let cluster = Cluster::up();
    let users = Traffic::start(&cluster.app(), 2);
    let said = cluster.run(&["release", "1.0.1"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(cluster.phase(), "Succeeded");
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.1"), 100.0);
}

#[test]
fn a_slow_version_is_rolled_back_and_the_event_names_metric_value_and_limit() {
    let cluster = Cluster::up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    let said = cluster.run(&["release", "1.0.2-slow"]);
    assert_eq!(said.code, 2, "{}{}", said.stdout, said.stderr);
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
    // A slow answer is no failed one, and whoever asked the primary never waited.
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.0"), 100.0);
}

#[test]
fn a_version_with_errors_is_rolled_back_and_the_primary_answers_every_request() {
    let cluster = Cluster::up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    let said = cluster.run(&["release", "1.0.3-errors"]);
    assert_eq!(said.code, 2, "{}{}", said.stdout, said.stderr);
    let reason = regex::Regex::new(
        r"Warning +Halt simple-app.default advancement success rate [67]\d\.\d\d% < 99%",
    )
    .unwrap();
    let lines = events.lines();
    assert!(lines.iter().any(|line| reason.is_match(line)), "{lines:#?}");
    assert_eq!(cluster.phase(), "Failed");
    // Errors that users saw came from the canary's share: the app says itself which version answered.
    let sample = users.stop();
    let foreign = sample.failures_besides("1.0.3-errors");
    assert!(foreign.is_empty(), "{sample:?}");
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.0"), 100.0);

    let said = cluster.run(&["release", "1.0.1"]);
    assert_eq!(
        said.code, 0,
        "the mended version is promoted: {}{}",
        said.stdout, said.stderr
    );
}

#[test]
fn a_version_that_nobody_built_is_refused_before_anything_happens() {
    let cluster = Cluster::up();
    let refused = cluster.run(&["release", "9.9.9"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .stderr
            .contains("there is no image simple-app:9.9.9; there are:"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("1.0.2-slow"), "{}", refused.stderr);
    assert_eq!(cluster.phase(), "Initialized");
}

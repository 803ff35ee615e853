//! Invalid Canaries: each gets an event that names the problem and its field, and affects no others.

use std::{fs, time::Duration};

use e2e::{Cluster, Output, until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// A valid Canary.
fn canary(name: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "name": name, "namespace": "wrong" },
        "spec": {
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "service": { "port": 80, "targetPort": 8080 },
            "analysis": { "interval": "2s", "threshold": 2, "maxWeight": 50, "stepWeight": 10 },
        },
    })
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "wrong" },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": name, "image": "simple-app:1.0.0" }] },
            },
        },
    })
}

struct Mistake {
    name: &'static str,
    change: fn(&mut Value),
    /// Words that the event, or the API server's error, must contain.
    expected: &'static [&'static str],
}

#[test]
fn every_mistake_gets_an_event_that_names_the_field_and_other_canaries_continue() {
    let cluster = Cluster::up();
    cluster.kubectl(&["create", "namespace", "wrong"]);
    let mistakes = [
        Mistake {
            name: "no-target",
            change: |canary| canary["spec"]["targetRef"]["name"] = json!("nobody"),
            expected: &["nobody.wrong", "not found"],
        },
        Mistake {
            name: "unknown-provider",
            change: |canary| canary["spec"]["provider"] = json!("teleport"),
            expected: &["spec.provider", "teleport"],
        },
        Mistake {
            name: "no-range",
            change: |canary| {
                canary["spec"]["analysis"]["metrics"] =
                    json!([{ "name": "request-success-rate", "interval": "1m" }]);
            },
            expected: &["thresholdRange"],
        },
        Mistake {
            name: "no-template",
            change: |canary| {
                canary["spec"]["analysis"]["metrics"] = json!([{
                    "name": "mine", "interval": "1m", "thresholdRange": { "max": 1 }, "templateRef": { "name": "nothing" },
                }]);
            },
            expected: &["nothing.wrong", "not found"],
        },
        Mistake {
            name: "bad-interval",
            change: |canary| canary["spec"]["analysis"]["interval"] = json!("5x"),
            expected: &["spec.analysis.interval", "5x"],
        },
    ];
    for mistake in &mistakes {
        let mut wrong = canary(mistake.name);
        (mistake.change)(&mut wrong);
        let applied = apply(&cluster, mistake.name, &[deployment(mistake.name), wrong]);
        if applied.code == 0 {
            wait_for_event(&cluster, mistake.name, mistake.expected);
        } else {
            assert_explains(mistake, &applied.stderr);
        }
    }
    an_invalid_query_is_reported_during_the_release(&cluster);
    // The valid canary is released as usual.
    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let restarts = cluster.kubectl(&[
        "get",
        "pods",
        "--namespace",
        "istio-system",
        "--output",
        "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ]);
    assert!(
        restarts.split(' ').all(|count| count == "0"),
        "no controller panicked: {restarts}"
    );
}

/// Only the metrics server can judge a query, so the event appears during the release.
fn an_invalid_query_is_reported_during_the_release(cluster: &Cluster) {
    let mut wrong = canary("bad-query");
    wrong["spec"]["analysis"]["metrics"] = json!([{
        "name": "mine", "interval": "1m", "thresholdRange": { "max": 1 }, "templateRef": { "name": "mine" },
    }]);
    let template = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": { "name": "mine", "namespace": "wrong" },
        "spec": {
            "provider": {
                "type": "prometheus",
                "address": "http://prometheus-prometheus.monitoring.svc.cluster.local:9090",
            },
            "query": "sum(no promql",
        },
    });
    let list = [deployment("bad-query"), template, wrong];
    apply(cluster, "bad-query", &list).success();
    until(SOON, "canary/bad-query to be initialized", || {
        let phase = "jsonpath={.status.phase}";
        let phase = cluster.kubectl(&[
            "get",
            "canary",
            "bad-query",
            "--namespace",
            "wrong",
            "--output",
            phase,
        ]);
        if phase == "Initialized" {
            Ok(())
        } else {
            Err(phase)
        }
    });
    let image = "bad-query=simple-app:1.0.1";
    cluster.kubectl(&[
        "set",
        "image",
        "deployment/bad-query",
        image,
        "--namespace",
        "wrong",
    ]);
    wait_for_event(cluster, "bad-query", &["mine", "parse error"]);
}

fn apply(cluster: &Cluster, name: &str, objects: &[Value]) -> Output {
    let file = cluster.local_dir().join(format!("{name}.json"));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    fs::write(&file, list.to_string()).expect("the cluster's directory can be written");
    cluster.try_kubectl(&["apply", "--filename", &file.to_string_lossy()])
}

fn wait_for_event(cluster: &Cluster, name: &str, expected: &[&str]) {
    until(SOON, &format!("an event that explains {name}"), || {
        let about = format!("involvedObject.kind=Canary,involvedObject.name={name}");
        let format = "jsonpath={range .items[*]}{.type} {.message}{\"\\n\"}{end}";
        let events = cluster.kubectl(&[
            "get",
            "events",
            "--namespace",
            "wrong",
            "--field-selector",
            &about,
            "--output",
            format,
        ]);
        let explained = events
            .lines()
            .any(|line| expected.iter().all(|word| line.contains(word)));
        if explained {
            Ok(())
        } else {
            Err(format!("{expected:?} is missing from:\n{events}"))
        }
    });
}

fn assert_explains(mistake: &Mistake, text: &str) {
    assert!(
        mistake.expected.iter().all(|word| text.contains(word)),
        "{}: {text}",
        mistake.name
    );
}

//! Gates of the load tester are shared by all replicas and survive their replacement.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Output, until};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);
const CANARY: &str = r#"{"name": "shop", "namespace": "default", "phase": "confirm-promotion"}"#;

/// Returns the addresses of the load testers once `count` are ready.
fn replicas(cluster: &Cluster, count: usize) -> Vec<String> {
    let ready = r#"{range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.deletionTimestamp}{.status.podIP}{"\n"}{end}"#;
    until(SOON, &format!("{count} load testers"), || {
        let output = cluster.kubectl(&[
            "get",
            "pods",
            "--selector",
            "app=flagger-loadtester",
            "--output",
            &format!("jsonpath={ready}"),
        ]);
        let addresses: Vec<_> = output.lines().map(str::to_owned).collect();
        let all =
            addresses.len() == count && addresses.iter().all(|address| address.starts_with("127."));
        all.then_some(addresses).ok_or(output)
    })
}

/// Calls a webhook. Returns status code and body of the response.
fn call(replica: &str, path: &str) -> (String, String) {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "10",
        "--noproxy",
        "*",
    ]);
    curl.args(["--write-out", "\n%{http_code}", "--data", CANARY]);
    let output = Output::of(curl.arg(format!("http://{replica}:8080{path}"))).success();
    let (body, code) = output.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

#[test]
fn a_gate_is_open_for_every_replica_and_for_later_ones() {
    let cluster = Cluster::up();
    cluster.kubectl(&["scale", "deployment", "flagger-loadtester", "--replicas=2"]);
    let old = replicas(&cluster, 2);
    assert_eq!(call(&old[1], "/gate/check").0, "403");
    assert_eq!(call(&old[0], "/gate/open").0, "202");
    assert_eq!(
        call(&old[1], "/gate/check"),
        ("200".into(), "Approved".into())
    );

    cluster.kubectl(&[
        "delete",
        "pods",
        "--selector",
        "app=flagger-loadtester",
        "--wait",
    ]);
    let new = replicas(&cluster, 2);
    assert_eq!(call(&new[0], "/gate/check").0, "200");
    assert_eq!(call(&new[1], "/rollback/check").0, "403");

    // Gates can also be changed by patching the ConfigMap.
    for (word, code) in [("closed", "403"), ("open", "200")] {
        let patch = json!({"data": {"shop.default": word}}).to_string();
        let config_map = ["patch", "configmap", "flagger-loadtester-gates"];
        cluster.kubectl(&[&config_map[..], &["--type=merge", "--patch", &patch]].concat());
        assert_eq!(call(&new[0], "/gate/check").0, code);
    }

    // Applying the manifests again preserves the gates.
    assert_eq!(cluster.run(&["up"]).code, 0);
    assert_eq!(call(&replicas(&cluster, 1)[0], "/gate/check").0, "200");

    cluster.kubectl(&["delete", "configmap", "flagger-loadtester-gates"]);
    let (code, why) = call(&replicas(&cluster, 1)[0], "/gate/check");
    assert_eq!(code, "500");
    assert!(
        why.contains("kubectl -n default create configmap flagger-loadtester-gates"),
        "{why}"
    );
}

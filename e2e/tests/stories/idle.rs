//! What a cluster does while nobody releases anything.

use std::{process::Command, thread::sleep, time::Duration};

use e2e::{Cluster, Journal};

/// What the controller has asked the API server so far, one counter a line: watches left out, renewals of
/// its lease on their own.
fn asked_by_the_controller(cluster: &Cluster) -> (Vec<String>, Vec<String>) {
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let counters = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"));
    let user = "user=\"system:serviceaccount:istio-system:canary-controller\"";
    let own = counters.filter(|line| line.contains(user) && !line.contains("verb=\"WATCH\""));
    own.map(str::to_owned)
        .partition(|line| line.contains("resource=\"leases\""))
}

#[test]
fn an_idle_canary_costs_no_request_but_watches_and_lease_renewals() {
    let cluster = Cluster::up();
    let (leases, asked) = asked_by_the_controller(&cluster);
    assert!(
        asked.iter().any(|line| line.contains("canaries")),
        "bringing it up is counted: {asked:?}"
    );
    // Somebody looks at the page meanwhile, which costs nothing either.
    let url = format!("{}api/watch", cluster.app());
    let host = "host: rollouts.localhost";
    let mut watch = Command::new("curl");
    watch.args(["--silent", "--no-buffer", "--header", host, &url]);
    let page = Journal::keep(watch);
    page.wait_for("\"name\":\"simple-app\"", Duration::from_secs(30));
    // Not waiting for something to happen: the story is that nothing does, for twelve intervals.
    sleep(Duration::from_secs(60));
    let (leases_later, asked_later) = asked_by_the_controller(&cluster);
    assert_eq!(asked_later, asked);
    assert_ne!(
        leases_later, leases,
        "the controller was there all the time"
    );
}

#[test]
fn a_route_of_the_gateway_api_comes_to_rest_and_nobody_asks_for_it_again() {
    let cluster = Cluster::none_yet();
    let up = ["up", "--on", "local", "--profile", "ambient"];
    cluster.run(&up).success();
    // Controller and mesh answer each other through the object: one that always finds something to mend never ends.
    let asked = |cluster: &Cluster| {
        let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
        let routes = text.lines().filter(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains("group=\"gateway.networking.k8s.io\"")
                && !line.contains("verb=\"WATCH\"")
        });
        routes.map(str::to_owned).collect::<Vec<_>>()
    };
    let look = || (asked(&cluster), asked_by_the_controller(&cluster).1);
    // What bringing it up was answered with may still be on its way.
    let mut before = look();
    for _ in 0..12 {
        sleep(Duration::from_secs(5));
        let now = look();
        if now == before {
            break;
        }
        before = now;
    }
    let answered = |line: &String| line.contains("subresource=\"status\"");
    assert!(
        before.0.iter().any(answered),
        "the mesh has answered: {before:?}"
    );
    // As above: the story is that nothing happens, for six intervals.
    sleep(Duration::from_secs(30));
    assert_eq!(look(), before);
}

//! API requests of an idle cluster.

use std::{process::Command, thread::sleep, time::Duration};

use e2e::{Cluster, Journal};

/// Returns the request counters of the controller, one per line, without watches: those for its Lease and all others.
fn controller_requests(cluster: &Cluster) -> (Vec<String>, Vec<String>) {
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
fn an_idle_canary_causes_no_requests_except_watches_and_lease_renewals() {
    let cluster = Cluster::up();
    let (leases, requests) = controller_requests(&cluster);
    assert!(
        requests.iter().any(|line| line.contains("canaries")),
        "requests of the start are counted: {requests:?}"
    );
    // An open page causes no requests either.
    let url = format!("{}api/watch", cluster.app());
    let host = "host: rollouts.localhost";
    let mut watch = Command::new("curl");
    watch.args(["--silent", "--no-buffer", "--header", host, &url]);
    let page = Journal::keep(watch);
    page.wait_for("\"name\":\"simple-app\"", Duration::from_secs(30));
    // Deliberately a fixed time: nothing may happen for twelve intervals.
    sleep(Duration::from_secs(60));
    let (leases_later, requests_later) = controller_requests(&cluster);
    assert_eq!(requests_later, requests);
    assert_ne!(
        leases_later, leases,
        "the controller was running all the time"
    );
}

#[test]
fn a_route_of_the_gateway_api_settles_and_causes_no_more_requests() {
    let cluster = Cluster::none_yet();
    let up = ["up", "--on", "local", "--profile", "ambient"];
    cluster.run(&up).success();
    // Controller and mesh both write the object, so they must not keep correcting each other.
    let requests = |cluster: &Cluster| {
        let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
        let routes = text.lines().filter(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains("group=\"gateway.networking.k8s.io\"")
                && !line.contains("verb=\"WATCH\"")
        });
        routes.map(str::to_owned).collect::<Vec<_>>()
    };
    let snapshot = || (requests(&cluster), controller_requests(&cluster).1);
    // Requests caused by the start may still be under way.
    let mut before = snapshot();
    for _ in 0..12 {
        sleep(Duration::from_secs(5));
        let now = snapshot();
        if now == before {
            break;
        }
        before = now;
    }
    let answered = |line: &String| line.contains("subresource=\"status\"");
    assert!(
        before.0.iter().any(answered),
        "the mesh has written the status: {before:?}"
    );
    // Deliberately a fixed time: nothing may happen for six intervals.
    sleep(Duration::from_secs(30));
    assert_eq!(snapshot(), before);
}

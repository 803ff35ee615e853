//! What a cluster does while nobody releases anything.

use std::{thread::sleep, time::Duration};

use e2e::Cluster;

/// Requests to the API server so far, by what was asked for, apart from watches and leases.
fn requests(cluster: &Cluster) -> Vec<(String, f64)> {
    let text = cluster.kubectl(&["get", "--raw", "/metrics"]);
    let counters = text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"));
    let asks =
        counters.filter(|line| !line.contains("WATCH") && !line.contains("resource=\"leases\""));
    let parsed = asks.filter_map(|line| {
        let (labels, value) = line.rsplit_once(' ')?;
        Some((labels.to_owned(), value.parse().ok()?))
    });
    // kubectl's own questions, which this function itself asks.
    parsed
        .filter(|(labels, _)| {
            labels.contains("flagger.app") || labels.contains("networking.istio.io")
        })
        .collect()
}

#[test]
fn an_idle_canary_costs_no_request_but_watches_and_lease_renewals() {
    let cluster = Cluster::up();
    let before = requests(&cluster);
    assert!(
        !before.is_empty(),
        "the counters are there and count what bringing the canary up took"
    );
    // Not waiting for something to happen: the story is that nothing does, for several intervals.
    sleep(Duration::from_secs(60));
    assert_eq!(requests(&cluster), before);
}

//! The rollout page at the address that `./run.sh urls` prints.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Journal, Output, until};

const SOON: Duration = Duration::from_secs(60);
const RELEASE: Duration = Duration::from_secs(180);

/// Reads the page's address from `./run.sh urls`.
fn address(cluster: &Cluster) -> String {
    let urls = cluster.run(&["urls"]).success();
    let mut lines = urls.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("rollouts"));
    line.expect("urls prints the page's address")
        .trim()
        .to_owned()
}

/// Prepares curl, which resolves names below localhost to loopback, like browsers.
fn curl(url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--no-buffer", url]);
    curl.env_remove("HTTP_PROXY").env_remove("http_proxy");
    curl
}

fn get(url: &str) -> Result<String, String> {
    let output = Output::of(curl(url).args(["--max-time", "5"]));
    if output.code == 0 {
        Ok(output.stdout)
    } else {
        Err(output.stderr)
    }
}

fn contains(url: &str, text: &str) {
    until(SOON, &format!("{text:?} on {url}"), || {
        let page = get(url)?;
        page.contains(text).then_some(()).ok_or(page)
    });
}

#[test]
fn the_page_follows_a_release_and_keeps_its_address_when_the_controller_is_replaced() {
    let cluster = Cluster::up();
    let home = address(&cluster);
    let canary = format!("{home}canaries/default/simple-app");
    contains(&home, "Initialized");
    contains(
        &canary,
        "a change of the pod template of Deployment simple-app",
    );

    let stream = Journal::keep(curl(&format!("{home}api/watch")));
    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    stream.wait_for("\"phase\":\"Succeeded\"", RELEASE);
    let events = stream.lines().join("\n");
    let weights = [10, 20, 30, 40, 50].map(|weight| format!("\"canary\":{weight}}}"));
    let places = weights.map(|weight| events.find(&weight));
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?} in {events}"
    );
    contains(&canary, "request-processing-seconds-avg");

    let pods = ["--selector", "app.kubernetes.io/name=canary-controller"];
    let mut delete = vec!["delete", "pods", "--namespace", "istio-system", "--wait"];
    delete.extend(pods);
    cluster.kubectl(&delete);
    contains(&home, "Succeeded");
    contains(&canary, "simple-app:1.0.1");
}

//! The rollout page, as a browser gets it: by the address that `./run.sh urls` prints.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Journal, Output, until};

const SOON: Duration = Duration::from_secs(60);
const RELEASE: Duration = Duration::from_secs(180);

/// What `urls` says the page's address is.
fn address(cluster: &Cluster) -> String {
    let urls = cluster.run(&["urls"]).success();
    let mut lines = urls.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("rollouts"));
    line.expect("urls names the page").trim().to_owned()
}

/// curl takes names below localhost for this machine, as browsers do.
fn curl(url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--no-buffer", url]);
    curl.env_remove("HTTP_PROXY").env_remove("http_proxy");
    curl
}

fn get(url: &str) -> Result<String, String> {
    let said = Output::of(curl(url).args(["--max-time", "5"]));
    if said.code == 0 {
        Ok(said.stdout)
    } else {
        Err(said.stderr)
    }
}

fn contains(url: &str, text: &str) {
    until(SOON, &format!("{text:?} on {url}"), || {
        let page = get(url)?;
        page.contains(text).then_some(()).ok_or(page)
    });
}

#[test]
fn the_page_shows_a_release_as_it_goes_and_keeps_its_address_when_the_controller_is_replaced() {
    let cluster = Cluster::up();
    let home = address(&cluster);
    let canary = format!("{home}canaries/default/simple-app");
    contains(&home, "Initialized");
    contains(
        &canary,
        "a change to the pod template of Deployment simple-app",
    );

    let stream = Journal::keep(curl(&format!("{home}api/watch")));
    let said = cluster.run(&["release", "1.0.1"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    stream.wait_for("\"phase\":\"Succeeded\"", RELEASE);
    let told = stream.lines().join("\n");
    let weights = [10, 20, 30, 40, 50].map(|weight| format!("\"canary\":{weight}}}"));
    let places = weights.map(|weight| told.find(&weight));
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?} in {told}"
    );
    contains(&canary, "request-processing-seconds-avg");

    let pods = ["--selector", "app.kubernetes.io/name=canary-controller"];
    let mut delete = vec!["delete", "pods", "--namespace", "istio-system", "--wait"];
    delete.extend(pods);
    cluster.kubectl(&delete);
    contains(&home, "Succeeded");
    contains(&canary, "simple-app:1.0.1");
}

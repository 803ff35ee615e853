//! From nothing to an app that answers, again, and back to nothing.

use std::{fs, net::TcpStream, time::Duration};

use e2e::{Cluster, Output, http, until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn up_ends_with_an_app_that_answers_a_second_up_changes_nothing_and_down_leaves_nothing() {
    let cluster = Cluster::none_yet();
    let said = cluster.run(&["up", "--on", "local"]).success();
    assert!(said.contains("version: 1.0.0"), "{said}");
    let answer = http::get(&cluster.app()).unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "version: 1.0.0")
    );

    let kubeconfig = cluster.local_dir().join("kubeconfig");
    assert!(
        said.contains(&format!("export KUBECONFIG={}", kubeconfig.display())),
        "{said}"
    );
    let urls = cluster.run(&["urls"]).success();
    assert!(urls.contains(&cluster.app()), "{urls}");
    let status = cluster.run(&["status"]).success();
    assert!(
        status.contains("simple-app") && status.contains("Initialized"),
        "{status}"
    );
    let log = cluster.run(&["logs", "simple-app"]).success();
    assert!(log.contains("version: 1.0.0"), "{log}");

    let (process, pods) = (cluster.field("pid"), pods(&cluster));
    let said = cluster.run(&["up"]).success();
    assert!(said.contains("it is up already"), "{said}");
    assert_eq!(cluster.field("pid"), process);
    assert_eq!(self::pods(&cluster), pods, "no pod was replaced");
    assert_eq!(http::get(&cluster.app()).unwrap().body, "version: 1.0.0");

    let addresses =
        ["ingress", "proxy", "envoy-admin", "prometheus"].map(|name| cluster.field(name));
    cluster.run(&["down"]).success();
    wait_until_gone(&cluster);
    for url in addresses {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        assert!(
            TcpStream::connect(address).is_err(),
            "{address} is still open"
        );
    }
    assert_eq!(files(&cluster), [""; 0]);
}

#[test]
fn after_a_kill_of_everything_up_brings_back_the_same_cluster_and_ctrl_c_ends_it_in_order() {
    let cluster = Cluster::up();
    let (process, url) = (cluster.field("pid"), cluster.app());
    // The parts die with it: nothing is left that could do it for them.
    kill(&process, "KILL");
    wait_until_gone(&cluster);
    let status = cluster.run(&["status"]);
    assert_eq!(status.code, 1);
    assert!(
        status.stderr.contains("start it again with ./run.sh up"),
        "{}",
        status.stderr
    );

    cluster.run(&["up"]).success();
    assert_eq!(cluster.app(), url, "the address stays");
    assert_eq!(http::get(&url).unwrap().body, "version: 1.0.0");
    assert_eq!(
        cluster.phase(),
        "Initialized",
        "what the cluster knew survived"
    );

    kill(&cluster.field("pid"), "INT");
    wait_until_gone(&cluster);
    let log = fs::read_to_string(cluster.local_dir().join("localcluster.log")).unwrap();
    assert!(log.ends_with("stopping\n"), "it ended in order: {log}");
}

#[test]
fn a_second_cluster_beside_the_first_has_addresses_of_its_own() {
    let cluster = Cluster::up();
    let elsewhere = tempfile::tempdir().unwrap();
    let second = Output::of(e2e::run_sh(elsewhere.path()).args(["up", "--on", "local"]));
    let urls = Output::of(e2e::run_sh(elsewhere.path()).arg("urls"));
    let down = Output::of(e2e::run_sh(elsewhere.path()).arg("down"));
    second.success();
    let urls = urls.success();
    assert!(
        !urls.contains(&cluster.app()) && !urls.contains(&cluster.field("api-server")),
        "{urls}"
    );
    down.success();
    assert_eq!(http::get(&cluster.app()).unwrap().body, "version: 1.0.0");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let cluster = Cluster::none_yet();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = Output::of(
        cluster
            .command(&["up", "--on", "local"])
            .env("INGRESS", &address),
    );
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(
        refused
            .stderr
            .contains(&format!("something else listens on {address}")),
        "{}",
        refused.stderr
    );
}

/// The pods that are to stay: the first one of the app leaves as soon as its primary serves.
fn pods(cluster: &Cluster) -> String {
    let stay = "app!=simple-app";
    let uids = "jsonpath={.items[*].metadata.uid}";
    cluster.kubectl(&[
        "get",
        "pods",
        "--all-namespaces",
        "--selector",
        stay,
        "--output",
        uids,
    ])
}

fn wait_until_gone(cluster: &Cluster) {
    until(SOON, "every process to be gone", || {
        let left = cluster.processes();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

fn kill(pid: &str, signal: &str) {
    Output::of(std::process::Command::new("kill").args(["-s", signal, pid])).success();
}

/// What is left in the directory of a cluster that is down.
fn files(cluster: &Cluster) -> Vec<String> {
    let entries = fs::read_dir(cluster.local_dir()).expect("its directory is there");
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

//! Life cycle of the local cluster: up, up again, down.

use std::{fs, net::TcpStream, time::Duration};

use e2e::{Cluster, Output, http, until};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn up_ends_with_a_responding_app_a_second_up_changes_nothing_and_down_leaves_nothing() {
    let cluster = Cluster::none_yet();
    let output = cluster.run(&["up", "--on", "local"]).success();
    assert!(output.contains("version: 1.0.0"), "{output}");
    let answer = http::get(&cluster.app()).unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "version: 1.0.0")
    );

    let kubeconfig = cluster.local_dir().join("kubeconfig");
    assert!(
        output.contains(&format!("export KUBECONFIG={}", kubeconfig.display())),
        "{output}"
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
    let output = cluster.run(&["up"]).success();
    assert!(output.contains("already up"), "{output}");
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
fn up_restores_a_killed_cluster_and_ctrl_c_stops_it_cleanly() {
    let cluster = Cluster::up();
    let (process, url) = (cluster.field("pid"), cluster.app());
    // Its children must end with it.
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
    assert_eq!(cluster.app(), url, "the address is unchanged");
    assert_eq!(http::get(&url).unwrap().body, "version: 1.0.0");
    assert_eq!(
        cluster.phase(),
        "Initialized",
        "the cluster's state is preserved"
    );

    kill(&cluster.field("pid"), "INT");
    wait_until_gone(&cluster);
    let log = fs::read_to_string(cluster.local_dir().join("localcluster.log")).unwrap();
    assert!(log.ends_with("stopping\n"), "it stopped cleanly: {log}");
}

#[test]
fn a_second_cluster_has_different_addresses() {
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
fn a_port_in_use_is_reported() {
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

/// Returns the uids of the permanent pods. The app's first pod is removed once its primary serves.
fn pods(cluster: &Cluster) -> String {
    let permanent = "app!=simple-app";
    let uids = "jsonpath={.items[*].metadata.uid}";
    cluster.kubectl(&[
        "get",
        "pods",
        "--all-namespaces",
        "--selector",
        permanent,
        "--output",
        uids,
    ])
}

fn wait_until_gone(cluster: &Cluster) {
    until(SOON, "all processes to end", || {
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

/// Lists the files left in the cluster's directory.
fn files(cluster: &Cluster) -> Vec<String> {
    let entries = fs::read_dir(cluster.local_dir()).expect("the directory exists");
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

//! The parts of the embedded cluster, started one by one in separate processes.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use e2e::{Cluster, Journal, http, program, until, with_tools};

const SOON: Duration = Duration::from_secs(60);
const RELEASE: Duration = Duration::from_secs(180);

#[test]
fn the_parts_run_in_separate_processes_and_recover_after_being_killed() {
    let parts = Parts::new();
    let mut api = parts.start(&["apiserver"]);
    let line = api.wait_for("https://127.", SOON);
    let block = line
        .trim_start_matches("https://127.")
        .split('.')
        .next()
        .expect("the second octet of the address")
        .to_owned();
    let kubeconfig = parts.cluster.local_dir().join("kubeconfig");
    fs::copy(parts.cluster.state("kubeconfig"), &kubeconfig).expect("the API server wrote it");

    parts.cluster.run(&["images"]).success();
    let mut controllers = parts.start_client(&["controllers"]);
    let mut kubelet = parts.start_client(&["kubelet", "--block", &block]);
    let mut mesh = parts.start_mesh(&block);
    let app = mesh
        .wait_for("ingress http://", SOON)
        .replace("ingress ", "");
    let mut monitoring = parts.start_client(&["monitoring", "--block", &block]);
    monitoring.wait_for("Prometheus http://", SOON);

    let crds = "manifests/controller/crds.yaml";
    // Mesh and monitoring define kinds that the manifests use.
    for kind in [
        "gateways.networking.istio.io",
        "podmonitors.monitoring.coreos.com",
    ] {
        until(SOON, kind, || {
            let found = parts.cluster.try_kubectl(&["get", "crd", kind]);
            if found.code == 0 {
                Ok(())
            } else {
                Err(found.stderr)
            }
        });
    }
    parts
        .cluster
        .kubectl(&["apply", "--server-side", "-f", crds]);
    let established = ["wait", "--for", "condition=Established", "-f", crds];
    parts.cluster.kubectl(&established);
    parts
        .cluster
        .kubectl(&["apply", "-k", "manifests/overlays/local"]);
    parts.cluster.wait_for_phase(&["Initialized"], SOON);
    wait_for_version(&app, "1.0.0");

    // Pods end with their kubelet, and Envoy with its mesh.
    kubelet.end("KILL", SOON);
    mesh.end("KILL", SOON);
    let silent = http::get(&app);
    assert!(silent.is_err(), "{silent:?}");
    let mut mesh = parts.start_mesh(&block);
    let mut kubelet = parts.start_client(&["kubelet", "--block", &block]);
    wait_for_version(&app, "1.0.0");

    let events = parts.cluster.canary_events();
    parts.cluster.set_image("1.0.1");
    events.wait_for("Promotion completed!", RELEASE);
    wait_for_version(&app, "1.0.1");

    for part in [
        &mut monitoring,
        &mut mesh,
        &mut kubelet,
        &mut controllers,
        &mut api,
    ] {
        let status = part.end("TERM", SOON);
        assert!(status.success(), "{status}");
    }
    drop(events);
    until(SOON, "all processes to end", || {
        let left = parts.cluster.processes();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

/// Starts parts in the directory of a cluster without `./run.sh`.
struct Parts {
    cluster: Cluster,
    localcluster: PathBuf,
}

impl Parts {
    fn new() -> Self {
        Self {
            cluster: Cluster::none_yet(),
            localcluster: program("localcluster"),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = with_tools(&self.localcluster);
        command
            .args(args)
            .env("LOCALCLUSTER_STATE", self.cluster.state(""));
        command
    }

    fn start(&self, args: &[&str]) -> Journal {
        Journal::keep(self.command(args))
    }

    fn start_client(&self, args: &[&str]) -> Journal {
        let mut command = self.command(args);
        command.env("KUBECONFIG", self.cluster.local_dir().join("kubeconfig"));
        Journal::keep(command)
    }

    fn start_mesh(&self, block: &str) -> Journal {
        self.start_client(&[
            "mesh",
            "--block",
            block,
            "--ingress",
            "auto",
            "--ingress-default",
            "simple-app.default",
        ])
    }
}

fn wait_for_version(app: &str, version: &str) {
    let wanted = format!("version: {version}");
    until(SOON, &wanted, || match http::get(app) {
        Ok(answer) if answer.status == 200 && answer.body == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

//! The controller for a single namespace, without permissions outside it.

use std::time::Duration;

use e2e::{Cluster, Output, burst, until};

const SOON: Duration = Duration::from_secs(60);
const CONTROLLER: &str = "--as=system:serviceaccount:default:canary-controller";

/// Runs `kubectl auth can-i` as the controller.
fn can(cluster: &Cluster, verb: &str, resource: &str, scope: &str) -> String {
    let Output { stdout, .. } =
        cluster.try_kubectl(&["auth", "can-i", verb, resource, CONTROLLER, scope]);
    stdout.trim().to_owned()
}

#[test]
fn the_controller_for_one_namespace_releases_there_and_has_no_access_elsewhere() {
    let cluster = Cluster::up();
    let budget = cluster.kubectl(&["get", "pdb", "--namespace", "istio-system"]);
    assert!(budget.contains("canary-controller"), "{budget}");

    cluster.kubectl(&["delete", "--wait", "-k", "manifests/controller"]);
    // The demo of the local cluster uses an interval below the controller's default minimum.
    let rendered = cluster.kubectl(&["kustomize", "manifests/overlays/namespaced"]);
    let argument = "- --namespace=$(POD_NAMESPACE)\n";
    let (before, after) = rendered.split_once(argument).expect(argument);
    let indent = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
    let patched = format!("{before}{argument}{indent}- --min-interval=1s\n{after}");
    let file = cluster.local_dir().join("namespaced.yaml");
    std::fs::write(&file, patched).expect("the cluster's directory can be written");
    cluster.kubectl(&["apply", "--filename", &file.to_string_lossy()]);
    cluster.kubectl(&[
        "rollout",
        "status",
        "deployment/canary-controller",
        "--timeout=60s",
    ]);
    for (verb, resource) in [
        ("list", "canaries.flagger.app"),
        ("create", "secrets"),
        ("update", "leases/flagger-leader-election"),
    ] {
        let scopes = [
            "--namespace=default",
            "--all-namespaces",
            "--namespace=istio-system",
        ];
        let output = scopes.map(|scope| can(&cluster, verb, resource, scope));
        assert_eq!(
            output,
            ["yes", "no", "no"],
            "{verb} {resource} in {scopes:?}"
        );
    }

    // Canaries in other namespaces must be ignored.
    cluster.kubectl(&["create", "namespace", "other"]);
    let other = cluster.local_dir().join("other.json");
    let mut objects = cluster.get(&["canary/simple-app", "deployment/simple-app"]);
    for object in objects["items"].as_array_mut().expect("a list") {
        let name = object["metadata"]["name"].clone();
        object["metadata"] = serde_json::json!({ "name": name, "namespace": "other" });
        object["status"].take();
    }
    std::fs::write(&other, objects.to_string()).expect("the cluster's directory can be written");
    cluster.kubectl(&["apply", "--filename", &other.to_string_lossy()]);

    let output = cluster.run(&["release", "1.0.1"]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.1"), 100.0);
    until(SOON, "the Lease in the controller's namespace", || {
        let holder = "jsonpath={.spec.holderIdentity}";
        let lease = [
            "get",
            "lease",
            "flagger-leader-election",
            "--output",
            holder,
        ];
        let holder = cluster.kubectl(&lease);
        if holder.starts_with("canary-controller-") {
            Ok(())
        } else {
            Err(holder)
        }
    });
    let untouched = cluster.get(&["canary/simple-app", "--namespace", "other"]);
    assert!(untouched["status"].is_null(), "{untouched}");
}

//! The controller for one namespace, with no rights outside it.

use std::time::Duration;

use e2e::{Cluster, Output, burst, until};

const SOON: Duration = Duration::from_secs(60);
const CONTROLLER: &str = "--as=system:serviceaccount:default:canary-controller";

/// What `kubectl auth can-i` says about the controller.
fn can(cluster: &Cluster, verb: &str, resource: &str, scope: &str) -> String {
    let Output { stdout, .. } =
        cluster.try_kubectl(&["auth", "can-i", verb, resource, CONTROLLER, scope]);
    stdout.trim().to_owned()
}

#[test]
fn the_controller_of_one_namespace_releases_there_and_sees_nothing_else() {
    let cluster = Cluster::up();
    let budget = cluster.kubectl(&["get", "pdb", "--namespace", "istio-system"]);
    assert!(budget.contains("canary-controller"), "{budget}");

    cluster.kubectl(&["delete", "--wait", "-k", "manifests/controller"]);
    // The demo of the local cluster checks more often than controllers accept by themselves.
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
        let said = scopes.map(|scope| can(&cluster, verb, resource, scope));
        assert_eq!(said, ["yes", "no", "no"], "{verb} {resource} in {scopes:?}");
    }

    // A canary of another namespace is another controller's.
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

    let said = cluster.run(&["release", "1.0.1"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(burst(&cluster.app(), 100, 1).percent("1.0.1"), 100.0);
    until(SOON, "the Lease in the controller's own namespace", || {
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

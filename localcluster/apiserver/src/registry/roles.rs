//! The cluster roles and bindings that every cluster has.

use serde_json::{Value, json};

const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// Resources in namespaces that hold no secrets and give no rights, by group.
const PLAIN: [(&str, &[&str]); 8] = [
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "pods",
            "pods/status",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    (
        "apps",
        &[
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    (
        "autoscaling",
        &[
            "horizontalpodautoscalers",
            "horizontalpodautoscalers/status",
        ],
    ),
    ("batch", &["jobs", "jobs/status"]),
    ("coordination.k8s.io", &["leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    (
        "networking.k8s.io",
        &["ingresses", "ingresses/status", "networkpolicies"],
    ),
    (
        "policy",
        &["poddisruptionbudgets", "poddisruptionbudgets/status"],
    ),
];

/// The cluster roles.
pub(super) fn cluster_roles() -> Vec<Value> {
    let anything = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
    let any_path = json!({ "verbs": ["*"], "nonResourceURLs": ["*"] });
    let paths = |paths: &[&str]| json!({ "verbs": ["get"], "nonResourceURLs": paths });
    let rule = |verbs: &[&str], group: &str, resources: &[&str]| json!({ "verbs": verbs, "apiGroups": [group], "resources": resources });
    let plain = |verbs: &[&str]| -> Vec<Value> {
        PLAIN
            .iter()
            .map(|(group, resources)| rule(verbs, group, resources))
            .collect()
    };
    let mut view = plain(&READ);
    view.push(rule(
        &READ,
        "",
        &["events", "namespaces", "namespaces/status", "pods/log"],
    ));
    let mut edit = plain(&WRITE);
    edit.push(rule(&[&READ[..], &WRITE[..]].concat(), "", &["secrets"]));
    edit.push(rule(&["create"], "", &["serviceaccounts/token"]));
    edit.push(rule(&WRITE, "events.k8s.io", &["events"]));
    let rbac = "rbac.authorization.k8s.io";
    let admin = vec![
        rule(
            &[&READ[..], &WRITE[..]].concat(),
            rbac,
            &["roles", "rolebindings"],
        ),
        rule(
            &["create"],
            "authorization.k8s.io",
            &["subjectaccessreviews"],
        ),
    ];
    vec![
        role("cluster-admin", &[], vec![anything, any_path]),
        role(
            "system:discovery",
            &[],
            vec![paths(&[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ])],
        ),
        role(
            "system:public-info-viewer",
            &[],
            vec![paths(&[
                "/healthz",
                "/livez",
                "/readyz",
                "/version",
                "/version/",
            ])],
        ),
        role(
            "system:basic-user",
            &[],
            vec![
                rule(
                    &["create"],
                    "authorization.k8s.io",
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                ),
                rule(
                    &["create"],
                    "authentication.k8s.io",
                    &["selfsubjectreviews"],
                ),
            ],
        ),
        aggregated("admin"),
        aggregated("edit"),
        aggregated("view"),
        role("system:aggregate-to-admin", &["admin"], admin),
        role("system:aggregate-to-edit", &["admin", "edit"], edit),
        role("system:aggregate-to-view", &["admin", "edit", "view"], view),
    ]
}

/// The bindings.
pub(super) fn cluster_role_bindings() -> Vec<Value> {
    let binding = |role: &str, groups: &[&str]| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| {
                json!({ "kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io" })
            })
            .collect();
        json!({
            "kind": "ClusterRoleBinding",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": { "name": role, "labels": labels(&[]) },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": subjects,
        })
    };
    vec![
        binding("cluster-admin", &["system:masters"]),
        binding("system:discovery", &["system:authenticated"]),
        binding("system:basic-user", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ]
}

fn labels(aggregate_to: &[&str]) -> Value {
    let mut labels = json!({ "kubernetes.io/bootstrapping": "rbac-defaults" });
    for role in aggregate_to {
        labels[format!("{AGGREGATE}{role}")] = "true".into();
    }
    labels
}

fn role(name: &str, aggregate_to: &[&str], rules: Vec<Value>) -> Value {
    json!({
        "kind": "ClusterRole",
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": { "name": name, "labels": labels(aggregate_to) },
        "rules": rules,
    })
}

/// A role with the rules of all roles that carry its label, so that others can add to it.
fn aggregated(name: &str) -> Value {
    let mut role = role(name, &[], Vec::new());
    let label = format!("{AGGREGATE}{name}");
    role["aggregationRule"] =
        json!({ "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] });
    role
}

//! What people change with kubectl.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

mod common;

use common::Served;
use common::objects::{APP, has_row, with_app};

#[tokio::test]
async fn apply_creates_then_changes_nothing_then_changes_what_differs() {
    let cluster = Served::start().await;
    let created = cluster.apply(APP, &[]).await;
    assert_eq!(
        created.stdout, "deployment.apps/app created\nservice/app created\n",
        "{created:?}"
    );
    let again = cluster.apply(APP, &[]).await;
    assert_eq!(
        again.stdout,
        "deployment.apps/app unchanged\nservice/app unchanged\n"
    );
    let file = cluster.file("app.yaml", &APP.replace("app:1", "app:2"));
    let diff = cluster.kubectl(&["diff", "-f", &file]).await;
    assert!(
        !diff.success && diff.stdout.contains("+      - image: app:2"),
        "{diff:?}"
    );
    let changed = cluster.run(&format!("apply -f {file}")).await;
    assert_eq!(
        changed,
        "deployment.apps/app configured\nservice/app unchanged\n"
    );
    assert!(cluster.kubectl(&["diff", "-f", &file]).await.success);
}

#[tokio::test]
async fn apply_on_the_server_reports_conflicts_and_takes_over_by_force() {
    let cluster = with_app().await;
    let applied = cluster.apply(APP, &["--server-side"]).await;
    assert!(applied.success, "{applied:?}");
    cluster.run("set image deployment/app app=app:9").await;
    let refused = cluster.apply(APP, &["--server-side"]).await;
    assert!(!refused.success);
    assert!(
        refused.stderr.contains(r#"conflict with "kubectl-set" using apps/v1: .spec.template.spec.containers[name="app"].image"#),
        "{refused:?}"
    );
    let forced = cluster
        .apply(APP, &["--server-side", "--force-conflicts"])
        .await;
    assert!(forced.success, "{forced:?}");
    let image = "get deployment app -o jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(cluster.run(image).await, "app:1");
}

#[tokio::test]
async fn unknown_and_double_fields_are_refused_by_name() {
    let cluster = Served::start().await;
    let unknown = cluster
        .apply(&APP.replace("replicas:", "replica:"), &[])
        .await;
    assert!(
        unknown
            .stderr
            .contains(r#"strict decoding error: unknown field "spec.replica""#),
        "{unknown:?}"
    );
    let wrong = cluster
        .apply(&APP.replace("replicas: 2", "replicas: -2"), &[])
        .await;
    assert!(
        wrong
            .stderr
            .contains("spec.replicas: Invalid value: -2: must be greater than or equal to 0"),
        "{wrong:?}"
    );
    let both = APP
        .replace("image: app:1", "")
        .replace("{app: app}}\n    spec", "{app: b}}\n    spec");
    let wrong = cluster.apply(&both, &[]).await;
    assert!(
        wrong
            .stderr
            .contains("spec.template.spec.containers[0].image: Required value"),
        "{wrong:?}"
    );
    assert!(
        wrong
            .stderr
            .contains("`selector` does not match template `labels`"),
        "{wrong:?}"
    );
    let ignored = cluster
        .apply(
            &APP.replace("replicas:", "replica:"),
            &["--validate=ignore"],
        )
        .await;
    assert!(ignored.success, "{ignored:?}");
}

#[tokio::test]
async fn objects_are_changed_in_every_way() {
    let cluster = with_app().await;
    let get = |path: &str| format!("get deployment app -o jsonpath={{{path}}}");
    cluster.run("set image deployment/app app=app:2").await;
    assert_eq!(
        cluster
            .run(&get(".spec.template.spec.containers[0].image"))
            .await,
        "app:2"
    );
    cluster.run("scale deployment/app --replicas=3").await;
    assert_eq!(cluster.run(&get(".spec.replicas")).await, "3");
    cluster.run(r#"patch deployment app -p {"spec":{"template":{"spec":{"containers":[{"name":"app","args":["x"]}]}}}}"#).await;
    assert_eq!(
        cluster
            .run(&get(".spec.template.spec.containers[*].image"))
            .await,
        "app:2"
    );
    cluster
        .run(r#"patch deployment app --type=merge -p {"spec":{"paused":true}}"#)
        .await;
    cluster.run(r#"patch deployment app --type=json -p [{"op":"replace","path":"/spec/replicas","value":4}]"#).await;
    assert_eq!(cluster.run(&get(".spec.replicas")).await, "4");
    cluster.run(r#"patch deployment app --subresource=status --type=merge -p {"status":{"replicas":4}}"#).await;
    assert_eq!(cluster.run(&get(".status.replicas")).await, "4");
    cluster.run("label deployment app tier=web").await;
    cluster.run("annotate deployment app note=hi").await;
    assert_eq!(cluster.run(&get(".metadata.annotations.note")).await, "hi");
    let edited = cluster
        .command(&["edit", "deployment", "app"])
        .env("KUBE_EDITOR", "sed -i s/app:2/app:3/")
        .output()
        .await
        .unwrap();
    assert!(edited.status.success(), "{edited:?}");
    assert_eq!(
        cluster
            .run(&get(".spec.template.spec.containers[0].image"))
            .await,
        "app:3"
    );
    // Five changes of the spec besides its creation; one of status, two of metadata.
    assert_eq!(cluster.run(&get(".metadata.generation")).await, "7");
    cluster.run("delete deployment app").await;
    assert!(
        cluster
            .refuse("get deployment app")
            .await
            .contains(r#"deployments.apps "app" not found"#)
    );
}

#[tokio::test]
async fn wait_and_rollout_follow_the_status() {
    let cluster = with_app().await;
    let refused = cluster
        .refuse("rollout status deployment/app --timeout=1s")
        .await;
    assert!(refused.contains("timed out"), "{refused}");
    let status = r#"{"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,"conditions":[{"type":"Available","status":"True"}]}}"#;
    let waiting = cluster
        .command(&["wait", "--for=condition=Available", "deployment/app"])
        .spawn()
        .unwrap();
    cluster
        .run(&format!(
            "patch deployment app --subresource=status --type=merge -p {status}"
        ))
        .await;
    assert!(waiting.wait_with_output().await.unwrap().status.success());
    let done = cluster.run("rollout status deployment/app").await;
    assert!(done.contains("successfully rolled out"), "{done}");
    cluster.run("delete deployment app --wait=false").await;
    cluster
        .run("wait --for=delete deployment/app --timeout=10s")
        .await;
}

/// A replica set as the deployment controller makes it.
fn replica_set(owner: &str, revision: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: app-{revision}
  labels: {{app: app, pod-template-hash: h{revision}}}
  annotations: {{deployment.kubernetes.io/revision: "{revision}"}}
  ownerReferences:
  - {{apiVersion: apps/v1, kind: Deployment, name: app, uid: {owner}, controller: true}}
spec:
  selector: {{matchLabels: {{app: app, pod-template-hash: h{revision}}}}}
  template:
    metadata: {{labels: {{app: app, pod-template-hash: h{revision}}}}}
    spec:
      containers:
      - {{name: app, image: "app:{revision}"}}
"#
    )
}

#[tokio::test]
async fn rollout_history_is_shown_and_undone() {
    let cluster = with_app().await;
    let owner = cluster
        .run("get deployment app -o jsonpath={.metadata.uid}")
        .await;
    for revision in 1..=2 {
        let applied = cluster.apply(&replica_set(&owner, revision), &[]).await;
        assert!(applied.success, "{applied:?}");
    }
    cluster.run("set image deployment/app app=app:2").await;
    cluster
        .run("annotate deployment app deployment.kubernetes.io/revision=2")
        .await;
    let history = cluster.run("rollout history deployment/app").await;
    assert!(
        has_row(&history, "1 <none>") && has_row(&history, "2 <none>"),
        "{history}"
    );
    cluster.run("rollout undo deployment/app").await;
    let image = "get deployment app -o jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(cluster.run(image).await, "app:1");
}

#[tokio::test]
async fn objects_that_kubectl_makes_itself_are_understood() {
    let cluster = Served::start().await;
    for what in [
        "namespace n",
        "configmap c --from-literal=a=b",
        "secret generic s --from-literal=a=b",
        "deployment d --image=d:1 --port=80 --replicas=0",
        "service clusterip s --tcp=80:8080",
        "serviceaccount bot",
        "role r --verb=get,list --resource=pods",
        "rolebinding b --role=r --serviceaccount=default:bot",
        "job j --image=j:1",
        "token bot",
    ] {
        cluster.run(&format!("create {what}")).await;
    }
    assert_eq!(
        cluster
            .run("get deployment d -o jsonpath={.spec.replicas}")
            .await,
        "0"
    );
    assert_eq!(
        cluster
            .run("get service s -o jsonpath={.spec.ports[0].targetPort}")
            .await,
        "8080"
    );
    assert_eq!(
        cluster.run("get secret s -o jsonpath={.data.a}").await,
        "Yg=="
    );
    assert_eq!(cluster.run("auth can-i delete pods").await.trim(), "yes");
    let as_bot = "--as=system:serviceaccount:default:bot";
    assert_eq!(
        cluster
            .run(&format!("auth can-i list pods {as_bot}"))
            .await
            .trim(),
        "yes"
    );
    let no = cluster
        .kubectl(&["auth", "can-i", "delete", "pods", as_bot])
        .await;
    assert_eq!((no.success, no.stdout.trim()), (false, "no"));
    let refused = cluster.refuse(&format!("get secrets {as_bot}")).await;
    assert!(
        refused
            .contains(r#"User "system:serviceaccount:default:bot" cannot list resource "secrets""#),
        "{refused}"
    );
    assert!(
        cluster
            .run(&format!("auth whoami {as_bot}"))
            .await
            .contains("system:serviceaccounts")
    );
}

#[tokio::test]
async fn what_is_not_offered_is_said() {
    let cluster = Served::start().await;
    cluster.run("run pod --image=pod:1").await;
    let refused = cluster.refuse("exec pod -- ls").await;
    assert!(refused.contains("localcluster offers no exec"), "{refused}");
    let job = cluster
        .kubectl(&["create", "job", "j", "--image=j:1"])
        .await;
    assert!(
        job.success
            && job
                .stderr
                .contains("Warning: localcluster has no controller for jobs"),
        "{job:?}"
    );
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_named() {
    let cluster = Served::start().await;
    let monitor = "{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: m}}";
    let refused = cluster.apply(monitor, &[]).await;
    assert!(
        refused
            .stderr
            .contains(r#"no matches for kind "PodMonitor" in version "monitoring.coreos.com/v1""#),
        "{refused:?}"
    );
}

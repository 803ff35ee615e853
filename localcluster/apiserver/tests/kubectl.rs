//! What people do with kubectl.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

mod common;

use common::Served;
use tokio::io::{AsyncBufReadExt, BufReader};

const APP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        image: app:1
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: http}]}
"#;

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the widget should be.
            properties: {size: {type: integer, minimum: 1, description: Its size in widths.}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

/// Whether a line of a table has these cells in front, whatever lies between them.
fn has_row(table: &str, cells: &str) -> bool {
    let cells: Vec<&str> = cells.split_whitespace().collect();
    table.lines().any(|line| {
        let found: Vec<&str> = line.split_whitespace().collect();
        found.starts_with(&cells)
    })
}

async fn with_app() -> Served {
    let cluster = Served::start().await;
    let applied = cluster.apply(APP, &[]).await;
    assert!(applied.success, "{applied:?}");
    cluster
}

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
async fn get_shows_the_usual_columns() {
    let cluster = with_app().await;
    let wide = cluster.run("get deployment app -o wide").await;
    assert!(
        has_row(
            &wide,
            "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR"
        ),
        "{wide}"
    );
    assert!(has_row(&wide, "app 0/2 0 0"), "{wide}");
    let all = cluster.run("get all").await;
    assert!(
        has_row(&all, "service/app ClusterIP 10.96.1.0 <none> 80/TCP"),
        "{all}"
    );
    let yaml = cluster.run("get service app -o yaml").await;
    assert!(yaml.contains("targetPort: http"), "{yaml}");
    let labels = cluster
        .run("get deployments -l app=app --show-labels")
        .await;
    assert!(
        has_row(&labels, "app 0/2 0 0") && labels.contains("app=app"),
        "{labels}"
    );
    assert_eq!(
        cluster
            .run("get deployments --field-selector metadata.name=b -o name")
            .await,
        ""
    );
}

#[tokio::test]
async fn get_watches() {
    let cluster = with_app().await;
    let mut child = cluster
        .command(&["get", "deployments", "-w", "--output-watch-events"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .starts_with("EVENT")
    );
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .starts_with("ADDED")
    );
    cluster.run("scale deployment/app --replicas=5").await;
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(
        line.starts_with("MODIFIED") && line.contains("0/5"),
        "{line}"
    );
    cluster.run("delete deployment app").await;
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .starts_with("DELETED")
    );
    child.kill().await.unwrap();
}

#[tokio::test]
async fn describe_works_for_all_that_people_look_at() {
    let cluster = with_app().await;
    assert!(cluster.apply(CRD, &[]).await.success);
    cluster.run("run pod --image=pod:1").await;
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}";
    let applied = cluster.apply(widget, &[]).await;
    assert!(applied.success, "{applied:?}");
    for (object, expected) in [
        (
            "deployment app",
            "RollingUpdateStrategy:  25% max unavailable, 25% max surge",
        ),
        ("service app", "TargetPort:               http/TCP"),
        ("pod pod", "pod:1"),
        ("namespace default", "Status:       Active"),
        ("widget w", "Size:  3"),
        ("crd widgets.example.com", "Short Names:"),
    ] {
        let shown = cluster.run(&format!("describe {object}")).await;
        assert!(shown.contains(expected), "{object}: {shown}");
    }
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
async fn logs_come_from_the_files_of_the_kubelet() {
    let cluster = Served::start().await;
    cluster.run("run pod --image=pod:1").await;
    let waiting = cluster.refuse("logs pod").await;
    assert!(
        waiting.contains(r#"container "pod" in pod "pod" is waiting to start"#),
        "{waiting}"
    );
    let uid = cluster.run("get pod pod -o jsonpath={.metadata.uid}").await;
    let line =
        |second: u32, text: &str| format!("2024-01-01T00:00:{second:02}.000000001Z {text}\n");
    cluster.file(
        &format!("logs/default_pod_{uid}/pod/0.log"),
        &line(0, "old"),
    );
    let path = cluster.file(
        &format!("logs/default_pod_{uid}/pod/1.log"),
        &[line(1, "one"), line(2, "two"), line(3, "three")].concat(),
    );
    assert_eq!(cluster.run("logs pod").await, "one\ntwo\nthree\n");
    assert_eq!(cluster.run("logs pod --previous").await, "old\n");
    assert_eq!(cluster.run("logs pod --tail=1").await, "three\n");
    assert_eq!(cluster.run("logs pod --tail=0").await, "");
    assert_eq!(cluster.run("logs pod --limit-bytes=5").await, "one\nt");
    assert_eq!(
        cluster
            .run("logs pod --since-time=2024-01-01T00:00:02Z")
            .await,
        "two\nthree\n"
    );
    assert_eq!(cluster.run("logs pod --since=1h").await, "");
    let stamped = cluster.run("logs pod --timestamps --tail=1").await;
    assert_eq!(stamped, "2024-01-01T00:00:03.000000001Z three\n");
    assert!(
        cluster
            .refuse("logs pod -c other")
            .await
            .contains("container other is not valid for pod pod")
    );

    let mut following = cluster
        .command(&["logs", "pod", "-f", "--tail=1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("three"));
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, line(4, "four").as_bytes()).unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("four"));
    cluster.run("delete pod pod").await;
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn events_are_listed_in_both_ways() {
    let cluster = with_app().await;
    let uid = cluster
        .run("get deployment app -o jsonpath={.metadata.uid}")
        .await;
    let event = r#"
apiVersion: v1
kind: Event
metadata: {name: app.1}
involvedObject: {apiVersion: apps/v1, kind: Deployment, name: app, namespace: default, uid: UID}
type: Normal
reason: Scaled
message: now it is bigger
count: 1
"#;
    let created = cluster.apply(&event.replace("UID", &uid), &[]).await;
    assert!(created.success, "{created:?}");
    let table = cluster
        .run("get events --field-selector involvedObject.kind=Deployment")
        .await;
    assert!(
        table.contains("Scaled") && table.contains("deployment/app"),
        "{table}"
    );
    let events = cluster.run("events --for deployment/app").await;
    assert!(events.contains("now it is bigger"), "{events}");
    let described = cluster.run("describe deployment app").await;
    assert!(described.contains("Scaled"), "{described}");
}

#[tokio::test]
async fn resources_are_discovered_and_explained() {
    let cluster = Served::start().await;
    assert!(cluster.apply(CRD, &[]).await.success);
    let resources = cluster.run("api-resources").await;
    assert!(
        has_row(&resources, "deployments deploy apps/v1 true Deployment"),
        "{resources}"
    );
    assert!(
        has_row(&resources, "widgets wd example.com/v1 true Widget"),
        "{resources}"
    );
    let explained = cluster.run("explain deployment.spec.replicas").await;
    assert!(
        explained.contains("FIELD: replicas <integer>"),
        "{explained}"
    );
    let explained = cluster.run("explain pods.spec.containers.ports").await;
    assert!(
        explained.contains("containerPort\t<integer> -required-"),
        "{explained}"
    );
    let explained = cluster.run("explain widgets.spec.size").await;
    assert!(explained.contains("Its size in widths."), "{explained}");
}

#[tokio::test]
async fn custom_objects_have_their_columns_and_leave_with_their_definition() {
    let cluster = Served::start().await;
    assert!(cluster.apply(CRD, &[]).await.success);
    cluster
        .run("wait --for=condition=Established crd/widgets.example.com --timeout=10s")
        .await;
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 3}}";
    assert!(cluster.apply(widget, &[]).await.success);
    cluster.run(r#"patch wd w --subresource=status --type=merge -p {"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#).await;
    let table = cluster.run("get wd").await;
    assert!(
        has_row(&table, "NAME SIZE READY AGE") && has_row(&table, "w 3 True"),
        "{table}"
    );
    assert!(
        cluster
            .run("get all")
            .await
            .contains("widget.example.com/w")
    );
    let wrong = cluster.apply(&widget.replace('3', "0"), &[]).await;
    assert!(
        wrong
            .stderr
            .contains("spec.size in body should be greater than or equal to 1"),
        "{wrong:?}"
    );
    let unknown = cluster.apply(&widget.replace("size", "length"), &[]).await;
    assert!(
        unknown.stderr.contains(r#"unknown field "spec.length""#),
        "{unknown:?}"
    );
    cluster.run("delete crd widgets.example.com").await;
    cluster.refuse("get widgets").await;
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

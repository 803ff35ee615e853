//! What people look at with kubectl.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

mod common;

use common::Served;
use common::objects::{CRD, has_row, with_app};
use tokio::io::{AsyncBufReadExt, BufReader};

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

//! Pods as real processes with the embedded API server.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use k8s_openapi::api::{
    authentication::v1::TokenReview,
    core::v1::{ConfigMap, Pod, ServiceAccount},
};
use kube::api::{DeleteParams, PostParams};
use localcluster_kubelet::ApiAccess;
use serde_json::json;
use tokio::time::sleep;

use crate::support::*;

#[tokio::test]
async fn a_pod_becomes_ready_and_serves_on_its_own_address() {
    let cluster = Cluster::start().await;
    cluster.build_image("app:1", &[("VERSION", "1.0.0")]);
    cluster
        .create::<Pod>(pod("one", json!({"readinessProbe": readiness()})))
        .await;
    let running = cluster.pod("one", is_ready).await;
    assert_eq!(ip(&running).octets()[1], cluster.config.block);
    assert_eq!(
        get(ip(&running), 8080, "/").await.unwrap(),
        (200, "1.0.0".into())
    );
    let status = container(&running);
    assert!(status.started == Some(true) && status.ready && status.restart_count == 0);
    assert!(
        status.image_id.starts_with("docker.io/library/app@sha256:"),
        "{}",
        status.image_id
    );
    for reason in ["Scheduled", "Pulled", "Created", "Started"] {
        cluster.event("one", reason, "").await;
    }
}

#[tokio::test]
async fn two_pods_with_the_same_port_run_side_by_side() {
    let cluster = Cluster::start().await;
    for name in ["one", "two"] {
        cluster
            .create::<Pod>(pod(
                name,
                json!({"readinessProbe": readiness(), "env": [{"name": "VERSION", "value": name}]}),
            ))
            .await;
    }
    for name in ["one", "two"] {
        let running = cluster.pod(name, is_ready).await;
        assert_eq!(get(ip(&running), 8080, "/").await.unwrap().1, name);
    }
}

#[tokio::test]
async fn a_pod_gets_its_environment_and_none_of_the_kubelets() {
    let cluster =
        Cluster::start_with(|config| config.proxy = Some("http://127.0.0.1:9".into())).await;
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "settings"}, "data": {"COLOR": "red"}}))
        .await;
    let container = json!({"readinessProbe": readiness(), "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
    cluster.create::<Pod>(pod("one", container)).await;
    let running = cluster.pod("one", is_ready).await;
    let (_, env) = get(ip(&running), 8080, "/env").await.unwrap();
    for line in [
        "COLOR=red",
        "NAME=one",
        "HOSTNAME=one",
        "HTTP_PROXY=http://127.0.0.1:9",
        "NO_PROXY=localhost,127.0.0.0/8",
        &format!("POD_IP={}", ip(&running)),
    ] {
        assert!(
            env.lines().any(|found| found == line),
            "{line} is missing from:\n{env}"
        );
    }
    assert!(!env.contains("CARGO"), "{env}");
}

#[tokio::test]
async fn a_pod_waits_for_its_configuration() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod(
            "one",
            json!({"envFrom": [{"configMapRef": {"name": "later"}}]}),
        ))
        .await;
    let waiting = cluster
        .pod("one", |pod| {
            waiting_reason(pod).as_deref() == Some("CreateContainerConfigError")
        })
        .await;
    let message = container(&waiting).state.unwrap().waiting.unwrap().message;
    assert_eq!(message.as_deref(), Some("configmap \"later\" not found"));
    cluster
        .event("one", "Failed", "configmap \"later\" not found")
        .await;
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "later"}, "data": {"A": "b"}}))
        .await;
    cluster.pod("one", is_ready).await;
}

#[tokio::test]
async fn a_missing_image_is_reported_with_a_remedy_and_used_once_built() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod("one", json!({"image": "absent:7"})))
        .await;
    cluster
        .event("one", "Failed", "localcluster image build -t absent:7")
        .await;
    cluster
        .pod("one", |pod| {
            waiting_reason(pod).as_deref() == Some("ImagePullBackOff")
        })
        .await;
    cluster
        .create::<Pod>(pod(
            "never",
            json!({"image": "absent:7", "imagePullPolicy": "Never"}),
        ))
        .await;
    cluster
        .pod("never", |pod| {
            waiting_reason(pod).as_deref() == Some("ErrImageNeverPull")
        })
        .await;
    cluster.build_image("absent:7", &[]);
    cluster.pod("one", is_ready).await;
    cluster.pod("never", is_ready).await;
}

#[tokio::test]
async fn programs_outside_the_image_are_not_run() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod("one", json!({"command": ["/bin/sh", "-c", "exit 0"]})))
        .await;
    let waiting = cluster
        .pod("one", |pod| {
            waiting_reason(pod).as_deref() == Some("CreateContainerError")
        })
        .await;
    let message = container(&waiting)
        .state
        .unwrap()
        .waiting
        .unwrap()
        .message
        .unwrap();
    assert!(
        message.contains("/bin/sh") && message.contains("app:1"),
        "{message}"
    );
}

#[tokio::test]
async fn a_crashing_container_is_restarted_with_back_off() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod("one", json!({"env": [{"name": "EXIT", "value": "3"}]})))
        .await;
    let crashed = cluster
        .pod("one", |pod| {
            waiting_reason(pod).as_deref() == Some("CrashLoopBackOff")
                && container(pod).restart_count >= 2
        })
        .await;
    let status = container(&crashed);
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(
        crashed.status.as_ref().unwrap().phase.as_deref(),
        Some("Running")
    );
    cluster
        .event("one", "BackOff", "Back-off restarting failed container app")
        .await;
    let logs = cluster
        .config
        .logs_dir()
        .join(format!("default_one_{}/app", crashed.metadata.uid.unwrap()));
    let text = std::fs::read_to_string(logs.join("1.log")).unwrap();
    assert!(
        text.lines().any(|line| line.ends_with("Z exiting with 3")),
        "{text}"
    );
}

#[tokio::test]
async fn restart_policies_are_respected() {
    let cluster = Cluster::start().await;
    for (name, policy, code, phase) in [
        ("good", "OnFailure", "0", "Succeeded"),
        ("bad", "Never", "4", "Failed"),
    ] {
        let mut object = pod(name, json!({"env": [{"name": "EXIT", "value": code}]}));
        object["spec"]["restartPolicy"] = policy.into();
        cluster.create::<Pod>(object).await;
        let ended = cluster
            .pod(name, |pod| {
                pod.status
                    .as_ref()
                    .and_then(|status| status.phase.as_deref())
                    == Some(phase)
            })
            .await;
        assert_eq!(container(&ended).restart_count, 0);
        assert_eq!(
            container(&ended)
                .state
                .unwrap()
                .terminated
                .unwrap()
                .exit_code
                .to_string(),
            code
        );
    }
}

#[tokio::test]
async fn init_containers_run_first_and_in_order() {
    let cluster = Cluster::start().await;
    let mut object = pod("one", json!({"readinessProbe": readiness()}));
    object["spec"]["initContainers"] = json!([
        {"name": "first", "image": "app:1", "env": [{"name": "EXIT", "value": "0"}]},
        {"name": "second", "image": "app:1", "env": [{"name": "EXIT", "value": "0"}]},
    ]);
    cluster.create::<Pod>(object).await;
    let running = cluster.pod("one", is_ready).await;
    let finished: Vec<_> = running
        .status
        .unwrap()
        .init_container_statuses
        .unwrap()
        .into_iter()
        .map(|status| {
            status
                .state
                .unwrap()
                .terminated
                .unwrap()
                .finished_at
                .unwrap()
        })
        .collect();
    assert!(finished.is_sorted() && finished.len() == 2);
}

#[tokio::test]
async fn unschedulable_pods_stay_pending() {
    let cluster = Cluster::start().await;
    let mut object = pod("one", json!({}));
    object["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true"});
    cluster.create::<Pod>(object).await;
    cluster
        .event(
            "one",
            "FailedScheduling",
            "didn't match Pod's node affinity/selector",
        )
        .await;
    let waiting = cluster
        .pod("one", |pod| {
            pod.status
                .as_ref()
                .is_some_and(|status| status.conditions.is_some())
        })
        .await;
    assert_eq!(waiting.status.unwrap().phase.as_deref(), Some("Pending"));
    assert_eq!(waiting.spec.unwrap().node_name, None);
}

#[tokio::test]
async fn fields_without_effect_are_reported_in_one_event() {
    let cluster = Cluster::start().await;
    let mut object = pod(
        "one",
        json!({"securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": true}}),
    );
    object["spec"]["hostNetwork"] = true.into();
    object["spec"]["volumes"] = json!([{"name": "conf", "configMap": {"name": "x"}}]);
    cluster.create::<Pod>(object).await;
    let event = cluster.event("one", "Unsupported", "spec.hostNetwork, spec.volumes[conf].configMap, spec.containers[app].securityContext.runAsUser").await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    cluster
        .event("one", "NotEnforced", "readOnlyRootFilesystem")
        .await;
    cluster.pod("one", is_ready).await;
}

#[tokio::test]
async fn pods_are_restarted_in_place_after_the_kubelet_is_killed() {
    let mut cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod("one", json!({"readinessProbe": readiness()})))
        .await;
    let before = cluster.pod("one", is_ready).await;
    cluster.kill_kubelet().await;
    cluster
        .until("its process to end", async || {
            match get(ip(&before), 8080, "/").await {
                Err(_) => Ok(()),
                Ok(_) => Err("it still responds".into()),
            }
        })
        .await;
    let stale = cluster.config.pods_dir().join("stale-uid");
    std::fs::create_dir_all(&stale).unwrap();
    cluster.start_kubelet();
    let after = cluster
        .pod("one", |pod| {
            is_ready(pod) && container(pod).restart_count == 1
        })
        .await;
    assert_eq!(
        (before.metadata.uid.clone(), ip(&before)),
        (after.metadata.uid.clone(), ip(&after))
    );
    assert_eq!(get(ip(&after), 8080, "/").await.unwrap().0, 200);
    assert!(!stale.exists());
}

#[tokio::test]
async fn an_idle_pod_writes_nothing() {
    let cluster = Cluster::start().await;
    cluster
        .create::<Pod>(pod(
            "one",
            json!({"readinessProbe": readiness(), "livenessProbe": readiness()}),
        ))
        .await;
    let first = cluster.pod("one", is_ready).await;
    // Several probe periods, during which nothing may be written.
    sleep(Duration::from_millis(2500)).await;
    let second = cluster.pod("one", is_ready).await;
    assert_eq!(
        first.metadata.resource_version,
        second.metadata.resource_version
    );
}

#[tokio::test]
async fn a_pod_has_the_kubeconfig_of_its_service_account() {
    let api = ApiAccess {
        server: "https://127.0.0.1:1".into(),
        certificate_authority: Some("pem".into()),
    };
    let cluster = Cluster::start_with(|config| config.api = Some(api)).await;
    cluster
        .create::<ServiceAccount>(json!({"metadata": {"name": "robot"}}))
        .await;
    let mut object = pod("one", json!({"readinessProbe": readiness()}));
    object["spec"]["serviceAccountName"] = "robot".into();
    cluster.create::<Pod>(object).await;
    let running = cluster.pod("one", is_ready).await;
    let (_, env) = get(ip(&running), 8080, "/env").await.unwrap();
    let value = |name: &str| {
        env.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
    };
    let path = value("KUBECONFIG=");
    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    let context = kubeconfig.contexts[0].context.as_ref().unwrap();
    assert_eq!(
        (context.namespace.as_deref(), context.user.as_deref()),
        (Some("default"), Some("robot"))
    );
    let file = kubeconfig.auth_infos[0]
        .auth_info
        .as_ref()
        .unwrap()
        .token_file
        .clone()
        .unwrap();
    // The folder has the same files as the service account mount in Kubernetes.
    let folder = value("SERVICE_ACCOUNT_DIR=");
    let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    assert_eq!(
        (read("namespace"), read("ca.crt")),
        ("default".into(), "pem".into())
    );
    assert_eq!(value("KUBERNETES_SERVICE_HOST="), "127.0.0.1");
    assert_eq!(value("KUBERNETES_SERVICE_PORT="), "1");
    // The token authenticates as the service account.
    let token = std::fs::read_to_string(file).unwrap();
    assert_eq!(token, read("token"));
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {"token": token}});
    let reviews: kube::Api<TokenReview> = kube::Api::all(cluster.client.clone());
    let answer = reviews
        .create(
            &PostParams::default(),
            &serde_json::from_value(review).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(
        answer.status.unwrap().user.unwrap().username.as_deref(),
        Some("system:serviceaccount:default:robot")
    );
}

#[tokio::test]
async fn a_pod_waits_for_its_service_account_and_reports_it() {
    let api = ApiAccess {
        server: "https://127.0.0.1:1".into(),
        certificate_authority: None,
    };
    let cluster = Cluster::start_with(|config| config.api = Some(api)).await;
    let mut object = pod("one", json!({"readinessProbe": readiness()}));
    object["spec"]["serviceAccountName"] = "robot".into();
    cluster.create::<Pod>(object).await;
    cluster
        .event("one", "FailedMount", "serviceaccount \"robot\" not found")
        .await;
    cluster
        .create::<ServiceAccount>(json!({"metadata": {"name": "robot"}}))
        .await;
    cluster.pod("one", is_ready).await;
}

#[tokio::test]
async fn a_sidecar_starts_before_and_ends_after_the_main_container() {
    let cluster = Cluster::start().await;
    let mut object = pod("one", json!({"readinessProbe": readiness()}));
    object["spec"]["initContainers"] = json!([{
        "name": "sidecar", "image": "app:1", "restartPolicy": "Always", "env": [{"name": "PORT", "value": "9090"}],
        "startupProbe": {"httpGet": {"path": "/", "port": 9090}},
    }]);
    cluster.create::<Pod>(object).await;
    let running = cluster.pod("one", is_ready).await;
    assert_eq!(get(ip(&running), 9090, "/").await.unwrap().0, 200);
    cluster
        .api::<Pod>()
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    gone(&cluster, "one").await;
    assert!(get(ip(&running), 9090, "/").await.is_err());
}

//! Metrics in an ambient mesh.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Backend, Cluster, Monitoring, canary_objects, define, requests, service, value};

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_a_service_with_a_waypoint_are_reported_by_the_waypoint() {
    let (primary, canary) = (
        Backend::start("primary").await,
        Backend::start("canary").await,
    );
    let mut objects = canary_objects(&primary, &canary);
    let mut aside = service("aside");
    aside["metadata"]["labels"] = json!({ "istio.io/use-waypoint": "none" });
    objects.extend([
        aside,
        primary.slice("aside"),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": { "name": "waypoint", "namespace": "default" },
            "spec": {
                "gatewayClassName": "istio-waypoint",
                "listeners": [{ "name": "mesh", "port": 15008, "protocol": "HBONE" }],
            },
        }),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": "app", "namespace": "default" },
            "spec": {
                "parentRefs": [{ "group": "", "kind": "Service", "name": "app" }],
                "rules": [{ "backendRefs": [{ "name": "app-canary", "port": 80 }] }],
            },
        }),
    ]);
    let cluster = Cluster::start(&objects).await;
    define(&cluster.client).await;
    let monitoring = Monitoring::start(&cluster.client, cluster.admin, cluster.folder.path()).await;
    let ask = async |name: &str| {
        let answer = requests::get(cluster.proxy, &format!("http://{name}/")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let counted = async |labels: &str, expected: f64| {
        let query = format!("sum(istio_requests_total{{{labels}}})");
        monitoring
            .wait_for(&query, "every request", |sample| value(sample) == expected)
            .await;
    };
    ask("app").await;
    let of_canary = r#"destination_workload_namespace="default",destination_workload=~"app""#;
    counted(&format!(r#"reporter="destination",{of_canary}"#), 1.0).await;

    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let label = json!({ "metadata": { "labels": { "istio.io/use-waypoint": "waypoint" } } });
    let parameters = PatchParams::default();
    namespaces
        .patch("default", &parameters, &Patch::Merge(label))
        .await
        .unwrap();
    // Envoy replaces the cluster and with it the statistics. From then on the waypoint reports every request.
    super::eventually("a request reported by the waypoint", || async {
        ask("app").await;
        by_waypoint(&cluster).await > 0.0
    })
    .await;
    for _ in 0..20 {
        ask("app").await;
    }
    ask("aside").await;
    let expected = by_waypoint(&cluster).await;
    assert!(expected > 20.0);
    counted(&format!(r#"reporter="waypoint",{of_canary}"#), expected).await;
    counted(
        r#"reporter="destination",destination_service_name="aside",destination_workload="app-primary""#,
        1.0,
    )
    .await;
    let waypoint = monitoring
        .query(r#"istio_requests_total{reporter="waypoint",destination_service_name="aside"}"#)
        .await;
    assert_eq!(waypoint, Vec::<serde_json::Value>::new());
    monitoring.stop().await;
    cluster.stop().await;
}

/// The number of requests to the canary's Service that Envoy has counted with the reporter `waypoint`.
async fn by_waypoint(cluster: &Cluster) -> f64 {
    let path = "/stats?format=json&filter=^cluster.app-canary.*waypoint.upstream_rq_200$";
    let answer = requests::get_with(cluster.admin, path, &[("host", "envoy")]).await;
    let count = answer.json()["stats"][0]["value"].as_f64();
    count.unwrap_or_default()
}

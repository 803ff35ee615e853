//! The cluster's objects, and a simulated Deployment controller and kubelet.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use controller::cluster::{Kind, Object};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use crate::web;

const NAMESPACE: &str = "default";
const ACCOUNT: (&str, &str) = ("istio-system", "canary-controller");
/// Maximum number of concurrent writes of this program.
const AT_ONCE: usize = 16;
/// Longer than any release should take here.
const TIMEOUT: Duration = Duration::from_secs(900);

/// A cluster in which pods become ready without running.
pub(crate) struct Cluster {
    client: Client,
    kubeconfig: Kubeconfig,
    web: String,
    interval: u64,
    kubelet: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

impl Cluster {
    /// Connects to the cluster of a kubeconfig, and creates all definitions and RBAC objects.
    pub(crate) async fn connect(kubeconfig: &Path, interval: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let cluster = Self {
            kubelet: tokio::spawn(make_ready(client.clone())),
            client,
            kubeconfig,
            web: web::serve().await,
            interval,
        };
        cluster.prepare().await;
        cluster
    }

    /// URL of Prometheus.
    pub(crate) fn prometheus(&self) -> &str {
        &self.web
    }

    async fn prepare(&self) {
        let definitions = controller::api::definitions().unwrap();
        let mesh = localcluster_mesh::crds()
            .into_iter()
            .map(|crd| serde_json::to_value(crd).unwrap());
        let kind = resource(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        );
        for definition in definitions.into_iter().chain(mesh) {
            self.apply(&kind, None, definition).await;
        }
        let namespace = json!({ "metadata": { "name": ACCOUNT.0 } });
        let kind = resource("v1", "Namespace", "namespaces");
        self.apply(&kind, None, namespace).await;
        let account = json!({ "metadata": { "name": ACCOUNT.1 } });
        let kind = resource("v1", "ServiceAccount", "serviceaccounts");
        self.apply(&kind, Some(ACCOUNT.0), account).await;
        let rules = include_str!("../../../manifests/controller/rbac.yaml");
        for document in rules.split("\n---\n") {
            let rule: Value = serde_yaml::from_str(document).unwrap();
            let name = rule["kind"].as_str().unwrap();
            let plural = format!("{}s", name.to_lowercase());
            let kind = resource("rbac.authorization.k8s.io/v1", name, &plural);
            let namespace = rule["metadata"]["namespace"].as_str().map(str::to_owned);
            self.apply(&kind, namespace.as_deref(), rule).await;
        }
    }

    async fn apply(&self, kind: &ApiResource, namespace: Option<&str>, object: Value) {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, kind),
            None => Api::all_with(self.client.clone(), kind),
        };
        let mut object = object;
        object["apiVersion"] = kind.api_version.clone().into();
        object["kind"] = kind.kind.clone().into();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("many").force();
        api.patch(&name, &params, &Patch::Apply(object))
            .await
            .unwrap();
    }

    /// Writes a kubeconfig with the permissions that the manifests grant to the controller.
    pub(crate) async fn kubeconfig_of_the_controller(&self, folder: &Path) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), ACCOUNT.0);
        let request = TokenRequest {
            spec: TokenRequestSpec::default(),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(ACCOUNT.1, &PostParams::default(), &request)
            .await
            .unwrap();
        let mut config = serde_json::to_value(&self.kubeconfig).unwrap();
        config["users"][0]["user"] = json!({ "token": answer.status.unwrap().token });
        let path = folder.join("kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Creates apps and canaries.
    pub(crate) async fn create(&self, canaries: usize) {
        self.for_each(canaries, async |name: String| {
            let app = resource("apps/v1", "Deployment", "deployments");
            self.apply(&app, Some(NAMESPACE), deployment(&name, "1.0.0"))
                .await;
            let kind = Kind::CANARY.resource();
            let canary = canary(&name, self.interval, &self.web);
            self.apply(&kind, Some(NAMESPACE), canary).await;
        })
        .await;
    }

    /// Sets the image of every app.
    pub(crate) async fn release(&self, canaries: usize, version: &str) {
        self.for_each(canaries, async |name: String| {
            let app = resource("apps/v1", "Deployment", "deployments");
            self.apply(&app, Some(NAMESPACE), deployment(&name, version))
                .await;
        })
        .await;
    }

    async fn for_each(&self, canaries: usize, work: impl AsyncFn(String)) {
        let names = (0..canaries).map(|index| format!("app-{index:04}"));
        let work = &work;
        stream::iter(names)
            .for_each_concurrent(AT_ONCE, async move |name| work(name).await)
            .await;
    }

    /// Waits until all canaries are in a phase.
    pub(crate) async fn all_in_phase(&self, phase: &str, canaries: usize) {
        let api: Api<Object> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &Kind::CANARY.resource());
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let list = api.list(&ListParams::default()).await.unwrap();
            let phases = list.items.iter().map(|one| &one.data["status"]["phase"]);
            let there = phases.clone().filter(|found| *found == phase).count();
            if there == canaries {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{there} of {canaries} are {phase} after {} s; one is {:?}",
                TIMEOUT.as_secs(),
                phases.clone().find(|found| *found != phase)
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Number of requests of the controller so far, without watches, from the API server's metrics.
    pub(crate) async fn requests_of_the_controller(&self) -> u64 {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = self.client.request_text(request).await.unwrap();
        let user = format!("user=\"system:serviceaccount:{}:{}\"", ACCOUNT.0, ACCOUNT.1);
        text.lines()
            .filter(|line| line.starts_with("apiserver_request_total{"))
            .filter(|line| line.contains(&user) && !line.contains("verb=\"WATCH\""))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }
}

/// Marks the pods of every Deployment as ready at once.
async fn make_ready(client: Client) {
    let api: Api<Object> = Api::all_with(client.clone(), &Kind::DEPLOYMENT.resource());
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    changes
        .for_each_concurrent(AT_ONCE, async |change| {
            let Ok(deployment) = change else { return };
            let replicas = deployment.data["spec"]["replicas"].as_u64().unwrap_or(1);
            let status = json!({
                "observedGeneration": deployment.metadata.generation,
                "replicas": replicas, "updatedReplicas": replicas,
                "availableReplicas": replicas, "readyReplicas": replicas,
                "conditions": [
                    { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" } ],
            });
            if deployment.data["status"] == status {
                return;
            }
            let api: Api<Object> = Api::namespaced_with(
                client.clone(),
                &deployment.namespace().unwrap(),
                &Kind::DEPLOYMENT.resource(),
            );
            let patch = Patch::Merge(json!({ "status": status }));
            // A failed patch is followed by another change, or by the end of the measurement.
            let _ = api
                .patch_status(&deployment.name_any(), &PatchParams::default(), &patch)
                .await;
        })
        .await;
}

fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn deployment(name: &str, version: &str) -> Value {
    // No `replicas`, because the controller sets them.
    json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{
                    "name": "app", "image": format!("app:{version}"),
                    "ports": [{ "name": "http", "containerPort": 8080 }] }] } } },
    })
}

fn canary(name: &str, interval: u64, web: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "service": { "port": 80, "targetPort": 8080 },
            "analysis": {
                "interval": format!("{interval}s"), "threshold": 5, "maxWeight": 50, "stepWeight": 10,
                "metrics": [
                    { "name": "request-success-rate", "interval": "1m", "thresholdRange": { "min": 1 } },
                    { "name": "request-duration", "interval": "1m", "thresholdRange": { "max": 500 } } ],
                "webhooks": [
                    { "name": "load-test", "url": format!("{web}/"), "timeout": "5s" } ] } },
    })
}

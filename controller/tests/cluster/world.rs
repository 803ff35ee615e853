//! A cluster with an app, a canary, and a simulated kubelet.

use std::{sync::Arc, time::Duration};

use controller::{
    Controller, Parts,
    cluster::{Kind, Object},
    process::{
        clock::Clock,
        lease::{LeaseError, Times},
        settings::Settings,
    },
};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use localcluster_apiserver::{ApiServer, Config};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    log,
    recorder::{Recorder, strict},
    web::Web,
};

/// A cluster under a paused clock.
pub struct World {
    pub client: Client,
    pub server: ApiServer,
    pub web: Arc<Web>,
    pub clock: Clock,
    /// Pods of Deployments with this image never become ready.
    pub broken_image: Arc<std::sync::Mutex<String>>,
    kubelet: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kubelet.abort();
        if !std::thread::panicking() {
            assert_eq!(log::dumps(), [""; 0]);
        }
    }
}

/// A running controller.
pub struct Running {
    pub recorder: Recorder,
    pub task: JoinHandle<Result<(), LeaseError>>,
    pub shutdown: CancellationToken,
    /// Its rollout page and other endpoints.
    pub endpoints: axum::Router,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// A cluster with all definitions and no objects. Every query returns 1, and every webhook passes.
    pub async fn new() -> Self {
        let mesh = localcluster_mesh::crds().into_iter();
        Self::with_definitions(mesh.map(|crd| serde_json::to_value(crd).unwrap())).await
    }

    /// A cluster with the controller's definitions and `others`.
    pub async fn with_definitions(others: impl IntoIterator<Item = Value>) -> Self {
        log::watch();
        let clock = Clock::virtual_from(Timestamp::from_second(1_700_000_000).unwrap());
        let server_clock = clock.clone();
        let config = Config {
            clock: localcluster_apiserver::Clock::new(move || server_clock.now()),
            ..Config::default()
        };
        let server = ApiServer::open(config).await.unwrap();
        let client = server.client();
        let broken_image = Arc::new(std::sync::Mutex::new("none".to_owned()));
        let world = Self {
            kubelet: tokio::spawn(make_ready(client.clone(), Arc::clone(&broken_image))),
            client,
            server,
            web: Web::with_value(1.0),
            clock,
            broken_image,
        };
        let definitions = controller::api::definitions().unwrap();
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "istio-system" } });
        world.apply_to("v1", "namespaces", None, &namespace).await;
        world.apply_rules().await;
        for definition in definitions.into_iter().chain(others) {
            world.define(&definition).await;
        }
        world
    }

    /// Applies the definition of a custom resource.
    pub async fn define(&self, definition: &Value) {
        let plural = "customresourcedefinitions";
        self.apply_to("apiextensions.k8s.io/v1", plural, None, definition)
            .await;
    }

    /// Applies the committed RBAC objects of the controller.
    pub async fn apply_rules(&self) {
        for rule in crate::manifests::rbac() {
            self.apply_rule(&rule).await;
        }
    }

    /// Applies one RBAC object.
    pub async fn apply_rule(&self, rule: &Value) {
        let plural = format!("{}s", rule["kind"].as_str().unwrap().to_lowercase());
        let namespace = rule["metadata"]["namespace"].as_str();
        self.apply_to("rbac.authorization.k8s.io/v1", &plural, namespace, rule)
            .await;
    }

    /// Deletes a RoleBinding in `default`.
    pub async fn delete_role_binding(&self, name: &str) {
        let api: Api<RoleBinding> = Api::namespaced(self.client.clone(), "default");
        api.delete(name, &Default::default()).await.unwrap();
    }

    /// Starts a controller without a minimum interval.
    pub fn start(&self) -> Running {
        self.start_with(
            Recorder::default(),
            Settings {
                min_interval: Duration::ZERO,
                ..Settings::default()
            },
            None,
        )
    }

    /// Starts a controller.
    pub fn start_with(
        &self,
        recorder: Recorder,
        settings: Settings,
        election: Option<(&str, Times)>,
    ) -> Running {
        let client = recorder.record(strict(self.client_of_the_controller()));
        self.run(client, recorder, settings, election)
    }

    /// [`World::start`] without strict field validation: the API server drops unknown fields silently.
    pub fn start_unchecked(&self) -> Running {
        self.start_through(|client| client)
    }

    /// [`World::start`] with a modified client.
    pub fn start_through(&self, change: impl FnOnce(Client) -> Client) -> Running {
        let recorder = Recorder::default();
        let client = recorder.record(change(self.client_of_the_controller()));
        let settings = Settings {
            min_interval: Duration::ZERO,
            ..Settings::default()
        };
        self.run(client, recorder, settings, None)
    }

    /// A client with exactly the permissions that the manifests grant to the controller.
    fn client_of_the_controller(&self) -> Client {
        self.server.client_as(
            "system:serviceaccount:istio-system:canary-controller",
            &[
                "system:serviceaccounts",
                "system:serviceaccounts:istio-system",
            ],
        )
    }

    fn run(
        &self,
        client: Client,
        recorder: Recorder,
        settings: Settings,
        election: Option<(&str, Times)>,
    ) -> Running {
        let instance = election.map_or("controller", |(name, _)| name).to_owned();
        let controller = Controller::build(Parts {
            client,
            namespace: None,
            settings,
            clock: self.clock.clone(),
            transport: self.web.clone(),
            instance,
            election: election.map(|(_, times)| ("istio-system".to_owned(), times)),
        })
        .unwrap();
        let shutdown = CancellationToken::new();
        Running {
            recorder,
            endpoints: controller.endpoints(shutdown.clone()),
            task: tokio::spawn(controller.run(shutdown.clone())),
            shutdown,
        }
    }

    /// Creates the app, its metric template and its canary.
    pub async fn deploy(&self, canary: &Value) {
        self.apply(Kind::DEPLOYMENT, &deployment("1.0.0")).await;
        self.apply(Kind::METRIC_TEMPLATE, &template()).await;
        self.apply(Kind::CANARY, canary).await;
    }

    /// [`World::deploy`], then waits until the canary is initialized.
    pub async fn initialize(&self, canary: &Value) {
        self.deploy(canary).await;
        self.phase("simple-app", "Initialized").await;
    }

    /// Waits until the canary has this weight.
    pub async fn weight(&self, percent: i64) {
        self.until(&format!("weight {percent}"), async || {
            self.status("simple-app").await["canaryWeight"] == percent
        })
        .await;
    }

    /// Sets the image of the target, as `kubectl set image` does.
    pub async fn set_image(&self, version: &str) {
        let patch = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "simple-app", "image": format!("simple-app:{version}") } ] } } } });
        let params = PatchParams::default();
        self.api(Kind::DEPLOYMENT)
            .patch("simple-app", &params, &Patch::Strategic(patch))
            .await
            .unwrap();
    }

    /// Creates or updates an object in `default`.
    pub async fn apply(&self, kind: Kind, object: &Value) {
        let resource = kind.resource();
        self.apply_to(
            &resource.api_version,
            &resource.plural,
            Some("default"),
            object,
        )
        .await;
    }

    async fn apply_to(
        &self,
        api_version: &str,
        plural: &str,
        namespace: Option<&str>,
        object: &Value,
    ) {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: object["kind"].as_str().unwrap_or_default().to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let name = object.name_any();
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&object))
                    .await
                    .unwrap();
            }
            Err(error) => panic!("create {plural}/{name}: {error}"),
        }
    }

    /// Applies a merge patch to an object in `default`.
    pub async fn merge(&self, kind: Kind, name: &str, patch: &Value) {
        self.api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub fn api(&self, kind: Kind) -> Api<Object> {
        Api::namespaced_with(self.client.clone(), "default", &kind.resource())
    }

    /// An object in `default` as JSON; null if it does not exist.
    pub async fn get(&self, kind: Kind, name: &str) -> Value {
        let found = self.api(kind).get_opt(name).await.unwrap();
        found.map_or(Value::Null, |object| serde_json::to_value(object).unwrap())
    }

    /// The status of the canary.
    pub async fn status(&self, canary: &str) -> Value {
        self.get(Kind::CANARY, canary).await["status"].clone()
    }

    /// The events of a canary in the order of publication, as `Type Message`.
    pub async fn events(&self, canary: &str) -> Vec<String> {
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
        };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), "default", &resource);
        let mut events = api.list(&Default::default()).await.unwrap().items;
        events.retain(|event| event.data["involvedObject"]["name"] == canary);
        events.sort_by_key(|event| event.resource_version().unwrap().parse::<u64>().unwrap());
        let lines = events.iter().map(|event| {
            assert_eq!(event.data["reason"], "Synced");
            assert_eq!(event.data["source"]["component"], "flagger");
            let text = |field: &str| event.data[field].as_str().unwrap().to_owned();
            format!("{} {}", text("type"), text("message"))
        });
        lines.collect()
    }

    /// Waits until the canary is in a phase.
    pub async fn phase(&self, canary: &str, phase: &str) {
        self.until(&format!("{canary} in phase {phase}"), async || {
            self.status(canary).await["phase"] == phase
        })
        .await;
    }

    /// Waits for a condition, for up to an hour of the paused clock.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let end = Instant::now() + Duration::from_secs(3600);
        while !condition().await {
            if Instant::now() > end {
                let status = self.status("simple-app").await;
                let events = self.events("simple-app").await;
                panic!("timed out waiting for: {what}\nstatus {status:#}\nevents {events:#?}");
            }
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
    }
}

/// Writes the status of Deployments like the Deployment controller and kubelets. Pods become ready after one second,
/// unless their image is broken.
async fn make_ready(client: Client, broken_image: Arc<std::sync::Mutex<String>>) {
    let api: Api<Object> = Api::all_with(client.clone(), &Kind::DEPLOYMENT.resource());
    let mut seen = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(event) = seen.next().await {
        let Ok(deployment) = event else { continue };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let api: Api<Object> = Api::namespaced_with(
            client.clone(),
            &deployment.namespace().unwrap(),
            &Kind::DEPLOYMENT.resource(),
        );
        let Ok(Some(live)) = api.get_opt(&deployment.name_any()).await else {
            continue;
        };
        let status = ready_status(&live, &broken_image.lock().unwrap().clone());
        let mut before = live.data["status"].clone();
        json_patch::merge(&mut before, &status);
        if before != live.data["status"] {
            let patch = Patch::Merge(json!({ "status": status }));
            let _ = api
                .patch_status(&deployment.name_any(), &PatchParams::default(), &patch)
                .await;
        }
    }
}

fn ready_status(deployment: &Object, broken_image: &str) -> Value {
    let replicas = deployment.data["spec"]["replicas"].as_u64().unwrap_or(1);
    let image = &deployment.data["spec"]["template"]["spec"]["containers"][0]["image"];
    let is_broken = *image == *broken_image && replicas > 0;
    let mut status = json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": if is_broken { 0 } else { replicas },
        "readyReplicas": if is_broken { 0 } else { replicas },
    });
    let progress = if is_broken {
        "ProgressDeadlineExceeded"
    } else {
        "NewReplicaSetAvailable"
    };
    status["conditions"] = json!([
        { "type": "Progressing", "status": if is_broken { "False" } else { "True" }, "reason": progress },
    ]);
    status
}

/// The article's Deployment.
pub fn deployment(version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "simple-app", "namespace": "default", "labels": { "app": "simple-app" } },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "simple-app" } },
            "template": {
                "metadata": { "labels": { "app": "simple-app" } },
                "spec": { "containers": [{
                    "name": "simple-app", "image": format!("simple-app:{version}"),
                    "ports": [
                        { "name": "simple-app", "containerPort": 8080 },
                        { "name": "prometheus", "containerPort": 8000 } ] }] } } },
    })
}

/// The article's MetricTemplate.
pub fn template() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": { "name": "request-processing-seconds-avg", "namespace": "default" },
        "spec": {
            "provider": { "type": "prometheus",
                "address": "http://prometheus-prometheus.monitoring.svc.cluster.local:9090" },
            "query": "request_processing_seconds_sum / request_processing_seconds_count" },
    })
}

/// The article's Canary.
pub fn canary() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "name": "simple-app", "namespace": "default" },
        "spec": {
            "provider": "istio",
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "simple-app" },
            "progressDeadlineSeconds": 60,
            "service": { "port": 80, "targetPort": 8080, "portDiscovery": true },
            "analysis": {
                "interval": "20s", "threshold": 5, "maxWeight": 50, "stepWeight": 10,
                "metrics": [{ "name": "request-processing-seconds-avg", "interval": "5s",
                    "templateRef": { "name": "request-processing-seconds-avg", "namespace": "default" },
                    "thresholdRange": { "max": 3 } }],
                "webhooks": [{ "name": "load-test", "url": "http://flagger-loadtester.default/", "timeout": "5s",
                    "metadata": { "cmd": "hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/" } }],
            } },
    })
}

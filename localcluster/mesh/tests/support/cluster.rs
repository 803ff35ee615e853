//! A mesh with a real Envoy on an in-process API server, with small HTTP servers as pods.

// Shared with the tests of monitoring; each test uses only a part of it.
#![allow(dead_code)]

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use k8s_openapi::{
    api::core::v1::Event,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use localcluster_apiserver::ApiServer;
use localcluster_mesh::{Config, crds, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// The longest wait for any condition. Long enough for a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running mesh.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ingress: SocketAddr,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) folder: TempDir,
    shutdown: CancellationToken,
    mesh: JoinHandle<Result<(), localcluster_mesh::Error>>,
}

/// The Envoy in `ENVOY`, or else on the `PATH`.
pub(crate) fn envoy() -> PathBuf {
    std::env::var_os("ENVOY")
        .unwrap_or_else(|| "envoy".into())
        .into()
}

pub(crate) async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Cluster {
    /// Starts a mesh in a cluster with `objects`.
    pub(crate) async fn start(objects: &[Value]) -> Self {
        let client = ApiServer::open(localcluster_apiserver::Config::default())
            .await
            .unwrap()
            .client();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in crds() {
            definitions
                .create(&PostParams::default(), &definition)
                .await
                .unwrap();
        }
        for object in objects {
            create(&client, object).await;
        }
        let (sender, ready) = watch::channel(false);
        let (proxy, admin, ingress) = (
            free_address().await,
            free_address().await,
            free_address().await,
        );
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            envoy: envoy(),
            state_dir: folder.path().join("envoy"),
            shim: None,
            proxy,
            admin,
            ingress: Some(ingress),
            ingress_default: Some(("app".into(), "default".into())),
            ready: Some(sender),
        };
        let shutdown = CancellationToken::new();
        let mesh = tokio::spawn(run(config, client.clone(), shutdown.clone()));
        let mut cluster = Self {
            client,
            proxy,
            admin,
            ingress,
            ready,
            folder,
            shutdown,
            mesh,
        };
        cluster.wait_until_ready(true).await;
        cluster
    }

    /// Waits until Envoy is live, or no longer live. Panics with the error if the mesh fails.
    pub(crate) async fn wait_until_ready(&mut self, ready: bool) {
        let waiting = async {
            tokio::select! {
                Ok(_) = self.ready.wait_for(|now| *now == ready) => {}
                end = &mut self.mesh => panic!("the mesh ended: {}", end.unwrap().unwrap_err()),
            }
        };
        timeout(DEADLINE, waiting)
            .await
            .expect("timed out waiting for the readiness of Envoy to change");
    }

    pub(crate) async fn create(&self, object: Value) {
        create(&self.client, &object).await;
    }

    /// Merges `patch` into an object.
    pub(crate) async fn patch(&self, api_version: &str, kind: &str, name: &str, patch: Value) {
        let api = api(&self.client, api_version, kind, Some("default"));
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Sets the weights of VirtualService `app`.
    pub(crate) async fn set_weights(&self, primary: u32, canary: u32) {
        let http = json!([{ "route": destinations(primary, canary) }]);
        self.patch(
            ISTIO,
            "VirtualService",
            "app",
            json!({ "spec": { "http": http } }),
        )
        .await;
    }

    pub(crate) async fn delete(&self, api_version: &str, kind: &str, name: &str) {
        api(&self.client, api_version, kind, Some("default"))
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub(crate) async fn wait_for_event(&self, object: &str, reason: &str, text: &str) {
        wait_for_event(&self.client, object, reason, text).await;
    }

    /// Shuts the mesh down.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        timeout(DEADLINE, &mut self.mesh)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

pub(crate) const ISTIO: &str = "networking.istio.io/v1";

fn api(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

pub(crate) async fn create(client: &Client, object: &Value) {
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let namespace = object["metadata"]["namespace"].as_str();
    let api = api(client, &text("apiVersion"), &text("kind"), namespace);
    let object = serde_json::from_value(object.clone()).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Waits for an Event on `object` whose message contains `text`.
pub(crate) async fn wait_for_event(client: &Client, object: &str, reason: &str, text: &str) {
    let api: Api<Event> = Api::namespaced(client.clone(), "default");
    eventually(
        &format!("a {reason} event on {object} about {text}"),
        || async {
            let events = api.list(&ListParams::default()).await.unwrap();
            events.items.iter().any(|event| {
                event.involved_object.name.as_deref() == Some(object)
                    && event.reason.as_deref() == Some(reason)
                    && event
                        .message
                        .as_deref()
                        .is_some_and(|message| message.contains(text))
            })
        },
    )
    .await;
}

/// Waits until `condition` is true.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A pod: an HTTP server that responds with its name and counts its requests.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Answers {
    name: &'static str,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let answers = Answers {
            name,
            requests: requests.clone(),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let app = Router::new().fallback(answer).with_state(answers);
        let server = tokio::spawn(async move {
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await
                .unwrap();
        });
        Self {
            name,
            address,
            requests,
            stop,
            server,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Stops as a server does on SIGTERM: it accepts no new connections, closes idle ones and completes requests.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.server).await.unwrap().unwrap();
    }

    /// An EndpointSlice of `service` with only this pod.
    pub(crate) fn slice(&self, service: &str) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{service}-{}", self.name),
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": service },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": self.address.port(), "protocol": "TCP" }],
            "endpoints": [{
                "addresses": [self.address.ip()],
                "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": self.name, "namespace": "default" },
            }],
        })
    }

    /// The Pod, owned by Deployment `deployment`.
    pub(crate) fn pod(&self, deployment: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": "default",
                "labels": { "pod-template-hash": "5c7", "version": self.name },
                "ownerReferences": [{
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": format!("{deployment}-5c7"),
                    "uid": "00000000-0000-0000-0000-000000000000",
                    "controller": true,
                }],
            },
            "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
        })
    }
}

/// Responds to `/status/N` with status N, to `/flaky` with 503 in two of three cases, to `/slow` never, and to everything
/// else with the name of the backend and the received request.
async fn answer(State(answers): State<Answers>, request: Request) -> Response {
    let count = answers.requests.fetch_add(1, Ordering::SeqCst) + 1;
    let path = request.uri().path().to_owned();
    if let Some(status) = path.strip_prefix("/status/") {
        return StatusCode::from_u16(status.parse().unwrap())
            .unwrap()
            .into_response();
    }
    match path.as_str() {
        "/flaky" if count % 3 != 0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "/slow" => std::future::pending().await,
        _ => {
            let headers: serde_json::Map<String, Value> = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
                .collect();
            let body = json!({ "name": answers.name, "path": path, "headers": headers });
            ([("x-from", answers.name)], body.to_string()).into_response()
        }
    }
}

/// Service `name` with port 80.
pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}

/// VirtualService `app` with these HTTP routes.
pub(crate) fn virtual_service(http: Value) -> Value {
    json!({
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": { "name": "app", "namespace": "default" },
        "spec": { "hosts": ["app"], "http": http },
    })
}

pub(crate) fn destinations(primary: u32, canary: u32) -> Value {
    json!([
        { "destination": { "host": "app-primary" }, "weight": primary },
        { "destination": { "host": "app-canary" }, "weight": canary },
    ])
}

/// The objects of a canary release: three Services and two pods.
pub(crate) fn canary_objects(primary: &Backend, canary: &Backend) -> Vec<Value> {
    vec![
        service("app"),
        service("app-primary"),
        service("app-canary"),
        primary.pod("app-primary"),
        canary.pod("app"),
        primary.slice("app-primary"),
        primary.slice("app"),
        canary.slice("app-canary"),
    ]
}

/// Starts a primary and a canary.
pub(crate) async fn pair() -> (Backend, Backend) {
    (
        Backend::start("primary").await,
        Backend::start("canary").await,
    )
}

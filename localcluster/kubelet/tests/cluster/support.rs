//! A separate cluster per test: API server, controllers and kubelet run in the test process, pods as
//! real processes.

use std::{
    fmt::Debug,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, Pod},
};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PostParams},
};
use localcluster_apiserver::ApiServer;
use localcluster_kubelet::{Config, ImageStore, image::BuildRequest};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running cluster.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) config: Config,
    _folder: tempfile::TempDir,
    // The bound port claims the address block.
    _claim: TcpListener,
    shutdown: CancellationToken,
    kubelet: Option<JoinHandle<()>>,
}

/// Claims an unused address block by binding a port of its first address.
pub(crate) fn claim_block() -> (u8, TcpListener) {
    for _ in 0..500 {
        let block = fastrand::u8(1..=254);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, block, 0, 1), 6443)) {
            return (block, listener);
        }
    }
    panic!("no free address block");
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (block, claim) = claim_block();
        let mut config = Config::new(folder.path(), block);
        config.settle = Duration::from_millis(200);
        config.restart_delay = Duration::from_millis(300);
        config.shutdown_grace = Duration::from_millis(200);
        adjust(&mut config);
        let server = ApiServer::open(localcluster_apiserver::Config::default())
            .await
            .unwrap();
        let client = server.client();
        let mut cluster = Self {
            client,
            config,
            _folder: folder,
            _claim: claim,
            shutdown: CancellationToken::new(),
            kubelet: None,
        };
        cluster.build_image("app:1", &[]);
        tokio::spawn(swallow(localcluster_controllers::run(
            cluster.client.clone(),
            cluster.shutdown.clone(),
        )));
        cluster.start_kubelet();
        cluster
    }

    pub(crate) fn start_kubelet(&mut self) {
        let run = localcluster_kubelet::run(
            self.config.clone(),
            self.client.clone(),
            self.shutdown.clone(),
        );
        self.kubelet = Some(tokio::spawn(swallow(run)));
    }

    /// Ends the kubelet as `kill -9` would: its task and its processes end without any API request.
    pub(crate) async fn kill_kubelet(&mut self) {
        let kubelet = self.kubelet.take().unwrap();
        kubelet.abort();
        let _ = kubelet.await;
    }

    pub(crate) fn images(&self) -> ImageStore {
        ImageStore::open(self.config.images_dir()).unwrap()
    }

    pub(crate) fn build_image(&self, name: &str, env: &[(&str, &str)]) {
        let app = Path::new(env!("CARGO_BIN_EXE_localcluster-test-app"));
        let request = BuildRequest {
            name: name.into(),
            files: vec![(app.into(), "/usr/local/bin/app".into())],
            env: env
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..BuildRequest::default()
        };
        self.images().build(&request).unwrap();
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// Waits until the pod matches `wanted`.
    pub(crate) async fn pod(&self, name: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let api = self.api::<Pod>();
        self.until(&format!("pod {name}"), async || {
            let pod = api.get_opt(name).await.unwrap();
            match pod {
                Some(pod) if wanted(&pod) => Ok(pod),
                other => Err(format!("{:#}", json!(other.map(|pod| pod.status)))),
            }
        })
        .await
    }

    /// Waits for an event on `object` with this reason and `text` in its message.
    pub(crate) async fn event(&self, object: &str, reason: &str, text: &str) -> Event {
        let api = self.api::<Event>();
        self.until(&format!("event {reason} on {object}"), async || {
            let events = api.list(&ListParams::default()).await.unwrap().items;
            let found = events.iter().find(|event| {
                event.involved_object.name.as_deref() == Some(object)
                    && event.reason.as_deref() == Some(reason)
                    && event
                        .message
                        .as_deref()
                        .is_some_and(|message| message.contains(text))
            });
            found.cloned().ok_or_else(|| {
                events
                    .iter()
                    .map(|e| {
                        format!(
                            "{} {:?} {:?}\n",
                            e.involved_object.name.clone().unwrap_or_default(),
                            e.reason,
                            e.message
                        )
                    })
                    .collect()
            })
        })
        .await
    }

    /// Polls until `ask` succeeds; panics after [`DEADLINE`].
    pub(crate) async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Result<T, String>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(seen) if Instant::now() > deadline => {
                    panic!("timed out waiting for {what}; last seen: {seen}")
                }
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    pub(crate) async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn swallow<E: Debug>(run: impl Future<Output = Result<(), E>>) {
    run.await.unwrap();
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) fn ip(pod: &Pod) -> Ipv4Addr {
    pod.status
        .as_ref()
        .unwrap()
        .pod_ip
        .as_ref()
        .unwrap()
        .parse()
        .unwrap()
}

/// The first container's status.
pub(crate) fn container(pod: &Pod) -> k8s_openapi::api::core::v1::ContainerStatus {
    pod.status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap()[0]
        .clone()
}

pub(crate) fn waiting_reason(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .first()?
        .state
        .as_ref()?
        .waiting
        .as_ref()?
        .reason
        .clone()
}

/// GET over a fresh connection: (status, body).
pub(crate) async fn get(
    address: Ipv4Addr,
    port: u16,
    path: &str,
) -> std::io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let status = text
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))?;
        Ok((
            status,
            text.split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned())
                .unwrap_or_default(),
        ))
    };
    timeout(Duration::from_secs(5), exchange).await?
}

/// A pod that runs the test program. Fields of `container` extend or override those of its container.
pub(crate) fn pod(name: &str, container: Value) -> Value {
    let mut whole = json!({"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [whole], "terminationGracePeriodSeconds": 5}})
}

pub(crate) fn readiness() -> Value {
    json!({"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1})
}

/// Waits until the pod is removed from the API.
pub(crate) async fn gone(cluster: &Cluster, name: &str) {
    let api = cluster.api::<Pod>();
    cluster
        .until("the pod to be removed", async || {
            match api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(pod) => Err(format!("{:?}", pod.status)),
            }
        })
        .await;
}

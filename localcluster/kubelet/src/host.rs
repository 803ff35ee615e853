//! What all pods of this node share.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{Client, Resource};
use localcluster_shared::{
    events::{Occurrence, Recorder},
    process::Spawner,
};
use tokio::sync::mpsc;

use crate::{Config, addresses::Addresses, image::ImageStore};

/// The node's own things.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) images: ImageStore,
    pub(crate) spawner: Spawner,
    pub(crate) events: Events,
    addresses: Mutex<Addresses>,
}

impl Host {
    pub(crate) fn new(config: Config, client: Client, images: ImageStore, events: Events) -> Self {
        let spawner = Spawner::new(config.shim.clone());
        let addresses = Mutex::new(Addresses::new(config.block));
        Self {
            config,
            client,
            images,
            spawner,
            events,
            addresses,
        }
    }

    pub(crate) fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The address a pod already has according to the API, noted as taken.
    pub(crate) fn claim_known_address(&self, uid: &str, pod: &Pod) {
        let known = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_deref());
        if let Some(address) = known.and_then(|ip| ip.parse::<Ipv4Addr>().ok()) {
            // A foreign or doubled address is replaced by a new one when the pod starts.
            self.addresses().claim(uid, address);
        }
    }
}

/// Writes events in the order they are given, without holding up whoever gives them.
#[derive(Clone)]
pub(crate) struct Events(mpsc::UnboundedSender<(ObjectReference, Occurrence)>);

impl Events {
    /// A queue, and the task that empties it.
    pub(crate) fn new(recorder: Recorder) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut queue) = mpsc::unbounded_channel();
        let write = async move {
            while let Some((object, occurrence)) = queue.recv().await {
                recorder.record(&object, occurrence).await;
            }
        };
        (Self(sender), write)
    }

    /// An event on any object.
    pub(crate) fn emit_on<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        occurrence: Occurrence,
    ) {
        // Refused only when the kubelet has ended.
        let _ = self.0.send((object.object_ref(&()), occurrence));
    }

    /// An event on a pod, or on one container of it.
    pub(crate) fn emit(&self, pod: &Pod, container: Option<&str>, occurrence: Occurrence) {
        let mut object = pod.object_ref(&());
        object.field_path = container.map(|name| format!("spec.containers{{{name}}}"));
        // Refused only when the kubelet has ended.
        let _ = self.0.send((object, occurrence));
    }
}

//! State shared by all pods of the node.

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

/// Clients and stores that every pod task uses.
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

    /// Claims the address in the pod's status, if it has one.
    pub(crate) fn claim_known_address(&self, uid: &str, pod: &Pod) {
        let known = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_deref());
        if let Some(address) = known.and_then(|ip| ip.parse::<Ipv4Addr>().ok()) {
            // An address from another block or held by another pod is replaced when the pod starts.
            self.addresses().claim(uid, address);
        }
    }
}

/// A queue of events. Emitting does not block, and the order is preserved.
#[derive(Clone)]
pub(crate) struct Events(mpsc::UnboundedSender<(ObjectReference, Occurrence)>);

impl Events {
    /// Creates the queue and the future that writes its events to the API.
    pub(crate) fn new(recorder: Recorder) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut queue) = mpsc::unbounded_channel();
        let write = async move {
            while let Some((object, occurrence)) = queue.recv().await {
                recorder.record(&object, occurrence).await;
            }
        };
        (Self(sender), write)
    }

    /// Emits an event on any object.
    pub(crate) fn emit_on<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        occurrence: Occurrence,
    ) {
        // Fails only after the kubelet has stopped.
        let _ = self.0.send((object.object_ref(&()), occurrence));
    }

    /// Emits an event on a pod or on one of its containers.
    pub(crate) fn emit(&self, pod: &Pod, container: Option<&str>, occurrence: Occurrence) {
        let mut object = pod.object_ref(&());
        object.field_path = container.map(|name| format!("spec.containers{{{name}}}"));
        // Fails only after the kubelet has stopped.
        let _ = self.0.send((object, occurrence));
    }
}

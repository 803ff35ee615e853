//! Runs the containers of pods as host processes from a local image store.
//!
//! A pod gets its own address in 127.0.0.0/8 instead of a network namespace. Its containers are
//! programs from the [image store](image), started as plain processes without any isolation from
//! the host. An event on the pod lists the fields of its spec that have no effect.
//!
//! # Layout
//! - [`image`]: the image store.
//! - [`spec`]: translates a Pod into the process to start (pure).
//! - `pod`: the task of one pod: containers, probes, status, termination.
//! - `manager`: starts one task per pod. `schedule`: binds pods. `node`: the Node and its Lease.
//!
//! # Invariants
//! - Only programs listed in an image run, and never through a shell.
//! - A deleted pod is removed from its EndpointSlices before its process gets `SIGTERM` (see
//!   [`Config::settle`]), and from the API only after its process has exited.
//! - Processes do not outlive the kubelet, even if it is killed.
//! - An idle pod causes no API requests.

mod addresses;
mod config;
mod host;
pub mod image;
mod manager;
mod node;
mod pod;
mod probe;
mod schedule;
pub mod spec;

pub use config::{ApiAccess, Config};
pub use image::ImageStore;

use std::sync::Arc;

use api_failure::ApiFailure;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use localcluster_shared::{events::Recorder, feed::Feed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use host::{Events, Host};
use manager::Change;

/// Errors of the kubelet's start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image store cannot be opened.
    #[error(transparent)]
    Images(#[from] image::Error),
    /// The Node could not be registered.
    #[error("cannot register node {node}: {why}")]
    Register {
        /// Name of the Node.
        node: String,
        /// Error from the API server.
        why: ApiFailure,
    },
}

/// Registers the node and runs its pods until `shutdown`, then stops their processes. The pods
/// remain in the API, and the next kubelet starts them again.
///
/// # Errors
/// Returns an [`Error`] if the kubelet cannot start. It does not fail later.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let images = ImageStore::open(config.images_dir())?;
    let recorder = Recorder::new(client.clone(), "kubelet", config.node_name.clone());
    let (events, write_events) = Events::new(recorder);
    let host = Arc::new(Host::new(config, client.clone(), images, events));
    let node = node::register(&host).await?;

    let mut pods: Feed<Pod> = Feed::new(Api::all(client));
    let (sender, changes) = mpsc::unbounded_channel();
    let queue = (sender.clone(), changes);
    pods.on_change(move |before, after| {
        let change = match (before, after) {
            (_, Some(pod)) => Change::Is(Arc::new(pod.clone())),
            (Some(pod), None) => Change::Gone(Arc::new(pod.clone())),
            (None, None) => return,
        };
        // Fails only after the kubelet has stopped.
        let _ = sender.send(change);
    });
    let known = pods.store();
    tokio::select! {
        // Returns after `shutdown`, once all processes have exited.
        () = manager::run(host.clone(), known, queue, shutdown) => {}
        () = pods.run() => {}
        () = write_events => {}
        () = node::keep_lease(&host, &node) => {}
    }
    Ok(())
}

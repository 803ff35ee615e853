//! Runs the containers of pods as host processes from a local image store.
//!
//! A pod gets an address of its own in 127.0.0.0/8 instead of a network namespace, and its
//! containers are programs that the [image store](image) names, started as plain processes. Nothing
//! isolates them from the machine; what a pod asks for beyond that is said in an event.
//!
//! # Layout
//! - [`image`]: the image store.
//! - [`spec`]: from a Pod to the process it stands for (pure).
//! - `pod`: the task of one pod: containers, probes, status, termination.
//! - `manager`, `schedule`, `node`: which pods, bound how, on which node.
//!
//! # Invariants
//! - Only programs that an image names are run, and none through a shell.
//! - A pod that is deleted leaves its EndpointSlices before its process hears of it (see
//!   [`Config::settle`]), and is removed from the API only after its process has ended.
//! - Processes do not outlive the kubelet, even when it is killed.
//! - An idle pod costs no request.

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

/// Why the kubelet cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image store cannot be opened.
    #[error(transparent)]
    Images(#[from] image::Error),
    /// The Node could not be made.
    #[error("cannot register node {node}: {why}")]
    Register {
        /// Name of the Node.
        node: String,
        /// The API's answer.
        why: ApiFailure,
    },
}

/// Register the node and run its pods until `shutdown`; then end their processes and return. The
/// pods stay in the API and are started again by the next kubelet.
///
/// # Errors
/// See [`Error`]; only at the start.
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
        // Refused only when the kubelet has ended.
        let _ = sender.send(change);
    });
    let known = pods.store();
    tokio::select! {
        // Ends after `shutdown`, when all processes have.
        () = manager::run(host.clone(), known, queue, shutdown) => {}
        () = pods.run() => {}
        () = write_events => {}
        () = node::keep_lease(&host, &node) => {}
    }
    Ok(())
}

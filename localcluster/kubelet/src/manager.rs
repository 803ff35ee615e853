//! Starts and ends the tasks of the node's pods.

use std::{collections::HashMap, ffi::OsStr, path::Path, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    host::Host,
    pod::{self, Inbox},
    schedule,
};

/// Delay before another attempt to bind a pod.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// A change of one pod.
#[derive(Debug)]
pub(crate) enum Change {
    /// The pod was created or updated; its current object.
    Is(Arc<Pod>),
    /// The pod was deleted; its last object.
    Gone(Arc<Pod>),
    /// Binding the pod failed and is due for a retry.
    Unbound(ObjectRef<Pod>),
}

struct Entry {
    pod: watch::Sender<Arc<Pod>>,
    gone: CancellationToken,
}

/// Handles changes until `shutdown`, then waits for the processes of all pods to exit.
pub(crate) async fn run(
    host: Arc<Host>,
    known: Store<Pod>,
    (again, mut changes): (
        mpsc::UnboundedSender<Change>,
        mpsc::UnboundedReceiver<Change>,
    ),
    shutdown: CancellationToken,
) {
    if tokio::select! { ready = known.wait_until_ready() => ready.is_err(), () = shutdown.cancelled() => true }
    {
        return;
    }
    take_stock(&host, &known);
    let mut manager = Manager {
        host,
        entries: HashMap::new(),
        tasks: JoinSet::new(),
        shutdown: shutdown.clone(),
        again,
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            change = changes.recv() => match change {
                Some(Change::Is(pod)) => manager.is(pod).await,
                Some(Change::Gone(pod)) => manager.gone(&pod).await,
                // The pod may have been bound or deleted in the meantime, so read it again.
                Some(Change::Unbound(pod)) => if let Some(pod) = known.get(&pod) {
                    manager.is(pod).await;
                },
                None => break,
            },
            Some(ended) = manager.tasks.join_next() => manager.ended(ended),
        }
    }
    while manager.tasks.join_next().await.is_some() {}
}

/// Claims the addresses in use and removes the directories of pods that no longer exist. Runs before any pod starts.
fn take_stock(host: &Host, known: &Store<Pod>) {
    let mut folders = Vec::new();
    for pod in known.state() {
        let Some(uid) = pod.uid().filter(|_| is_here(host, &pod)) else {
            continue;
        };
        if !is_over(&pod) {
            host.claim_known_address(&uid, &pod);
        }
        folders.extend(pod::log_folder(host, &pod).file_name().map(OsStr::to_owned));
        folders.push(uid.into());
    }
    for parent in [host.config.pods_dir(), host.config.logs_dir()] {
        remove_others(&parent, &folders);
    }
}

fn remove_others(parent: &Path, keep: &[std::ffi::OsString]) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries
        .flatten()
        .filter(|entry| !keep.contains(&entry.file_name()))
    {
        // Remove pod directories only: other components keep their log files here too.
        let is_pods = entry.path().is_dir()
            && (parent.ends_with("pods")
                || entry.file_name().to_string_lossy().matches('_').count() == 2);
        if is_pods && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "cannot remove the folder of a deleted pod");
        }
    }
}

fn is_here(host: &Host, pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&*host.config.node_name)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

struct Manager {
    host: Arc<Host>,
    entries: HashMap<String, Entry>,
    tasks: JoinSet<String>,
    shutdown: CancellationToken,
    /// Sender of the manager's own queue.
    again: mpsc::UnboundedSender<Change>,
}

impl Manager {
    async fn is(&mut self, pod: Arc<Pod>) {
        let Some(uid) = pod.uid() else { return };
        if let Some(entry) = self.entries.get(&uid) {
            entry.pod.send_replace(pod);
        } else if is_here(&self.host, &pod) {
            // A finished pod needs a task only to finalize its deletion.
            if !is_over(&pod) || pod.metadata.deletion_timestamp.is_some() {
                self.start(uid, pod);
            }
        } else if self.host.config.schedule && !schedule::bind(&self.host, &pod).await {
            let again = self.again.clone();
            tokio::spawn(async move {
                sleep(BIND_RETRY).await;
                // Fails only after the kubelet has stopped.
                let _ = again.send(Change::Unbound(ObjectRef::from_obj(&*pod)));
            });
        }
    }

    fn start(&mut self, uid: String, pod: Arc<Pod>) {
        let (sender, receiver) = watch::channel(pod);
        let gone = CancellationToken::new();
        let inbox = Inbox {
            pod: receiver,
            gone: gone.clone(),
            shutdown: self.shutdown.clone(),
        };
        let host = self.host.clone();
        self.entries
            .insert(uid.clone(), Entry { pod: sender, gone });
        self.tasks.spawn(async move {
            pod::run(host, inbox).await;
            uid
        });
    }

    async fn gone(&mut self, pod: &Pod) {
        let Some(uid) = pod.uid() else { return };
        match self.entries.get(&uid) {
            Some(entry) => entry.gone.cancel(),
            None if is_here(&self.host, pod) => pod::clean(&self.host, pod, &uid).await,
            None => {}
        }
    }

    fn ended(&mut self, task: Result<String, JoinError>) {
        match task {
            Ok(uid) => drop(self.entries.remove(&uid)),
            Err(error) => tracing::error!(%error, "pod task panicked"),
        }
    }
}

//! One pod: a task that lives as long as the pod does.

mod backoff;
mod container;
mod health;
mod hook;
mod prepare;
mod record;
mod sequence;
mod shared;
mod status;

pub(crate) use container::log_folder;

use std::{sync::Arc, time::Duration};

use api_failure::ApiFailure;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use localcluster_shared::events::Occurrence;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    host::Host,
    spec::{self, PodFolders},
};
use record::Record;
use sequence::{Parts, run_containers};
use shared::{Shared, Stop, StopSignal};
use status::Known;

/// Wait before a status that could not be written is tried again.
const STATUS_RETRY: Duration = Duration::from_secs(1);

/// How a pod's task hears from the node.
pub(crate) struct Inbox {
    /// The pod as the API has it.
    pub(crate) pod: watch::Receiver<Arc<Pod>>,
    /// The pod is gone from the API.
    pub(crate) gone: CancellationToken,
    /// The kubelet shuts down; the pod stays.
    pub(crate) shutdown: CancellationToken,
}

/// Run a pod to its end.
pub(crate) async fn run(host: Arc<Host>, mut inbox: Inbox) {
    let pod = inbox.pod.borrow_and_update().clone();
    let Some(uid) = pod.uid() else { return };
    let task = PodTask::new(host.clone(), pod, &uid);
    let ended = task.run(&mut inbox).await;
    if ended {
        host.addresses().release(&uid);
        let pod = inbox.pod.borrow().clone();
        clean(&host, &pod, &uid).await;
    }
}

/// Remove what a pod left on disk.
pub(crate) async fn clean(host: &Host, pod: &Pod, uid: &str) {
    for folder in [host.config.pods_dir().join(uid), log_folder(host, pod)] {
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %folder.display(), %error, "cannot remove");
            }
            _ => {}
        }
    }
}

struct PodTask {
    host: Arc<Host>,
    pod: Arc<Pod>,
    spec: PodSpec,
    uid: String,
    folders: PodFolders,
    shared: Arc<Shared>,
    written: Option<PodStatus>,
}

impl PodTask {
    fn new(host: Arc<Host>, pod: Arc<Pod>, uid: &str) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let old = pod.status.clone().unwrap_or_default();
        let address = host.addresses().allocate(uid);
        let init_first = spec
            .init_containers
            .as_ref()
            .is_some_and(|all| !all.is_empty());
        let waiting = if init_first {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let known = Known {
            address,
            host: host.config.host_ip(),
            start_time: old
                .start_time
                .as_ref()
                .map_or_else(Timestamp::now, |time| time.0),
            init: records(
                spec.init_containers.as_deref(),
                waiting,
                old.init_container_statuses.as_deref(),
            ),
            main: records(
                Some(&spec.containers),
                waiting,
                old.container_statuses.as_deref(),
            ),
            over: false,
            trouble: None,
        };
        let folders = PodFolders::new(host.config.pods_dir().join(uid));
        let shared = Arc::new(Shared::new(known));
        Self {
            host,
            pod,
            spec,
            uid: uid.to_owned(),
            folders,
            shared,
            written: None,
        }
    }

    /// Whether the pod is over; `false` when only the kubelet ends.
    async fn run(mut self, inbox: &mut Inbox) -> bool {
        // Nothing of it runs: it was deleted while there was no kubelet, or its last kubelet was
        // killed before it could say that everything had ended.
        if self.pod.metadata.deletion_timestamp.is_some() {
            return self.finish(inbox).await;
        }
        let (stop, signal) = StopSignal::new();
        self.announce();
        let containers = run_containers(Arc::new(self.parts()), signal);
        tokio::pin!(containers);
        let shared = self.shared.clone();
        let mut deletion = None;
        let mut running = true;
        self.write_status().await;
        loop {
            tokio::select! {
                () = shared.changed.notified() => self.write_status().await,
                () = &mut containers, if running => {
                    running = false;
                    if deletion.is_some() {
                        return self.finish(inbox).await;
                    }
                    self.write_status().await;
                }
                changed = inbox.pod.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    self.pod = inbox.pod.borrow_and_update().clone();
                    let newly = deletion.is_none();
                    self.order_if_deleted(&mut deletion, &stop);
                    if newly && deletion.is_some() && !running {
                        return self.finish(inbox).await;
                    }
                    // Somebody else's condition may decide about readiness.
                    self.write_status().await;
                }
                () = inbox.gone.cancelled() => {
                    stop.send_replace(Some(Stop { deadline: Instant::now(), settle: Duration::ZERO, hooks: false }));
                    if running {
                        containers.await;
                    }
                    return true;
                }
                () = inbox.shutdown.cancelled() => {
                    let deadline = Instant::now() + self.host.config.shutdown_grace;
                    stop.send_replace(Some(Stop { deadline, settle: Duration::ZERO, hooks: false }));
                    if running {
                        containers.await;
                    }
                    return false;
                }
            }
        }
    }

    fn parts(&self) -> Parts {
        Parts {
            host: self.host.clone(),
            pod: self.pod.clone(),
            spec: self.spec.clone(),
            folders: self.folders.clone(),
            shared: self.shared.clone(),
        }
    }

    /// Say once what of the pod's wishes cannot be fulfilled.
    fn announce(&self) {
        let is_known = self
            .pod
            .status
            .as_ref()
            .is_some_and(|status| status.start_time.is_some());
        if is_known {
            return;
        }
        let limits = spec::limits_of(&self.pod);
        if !limits.unsupported.is_empty() {
            let message = format!(
                "Without effect in this cluster, which runs containers as host processes: {}",
                limits.unsupported.join(", ")
            );
            self.host
                .events
                .emit(&self.pod, None, Occurrence::warning("Unsupported", message));
        }
        if !limits.not_enforced.is_empty() {
            let message = format!(
                "Accepted but not enforced in this cluster: {}",
                limits.not_enforced.join(", ")
            );
            self.host
                .events
                .emit(&self.pod, None, Occurrence::normal("NotEnforced", message));
        }
    }

    /// Give the order to end when the pod is being deleted, and again when its grace shrinks.
    fn order_if_deleted(
        &self,
        ordered: &mut Option<(Instant, i64)>,
        stop: &watch::Sender<Option<Stop>>,
    ) {
        if self.pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let grace = self
            .pod
            .metadata
            .deletion_grace_period_seconds
            .unwrap_or(30)
            .max(0);
        let (begun, earlier) = *ordered.get_or_insert_with(|| (Instant::now(), i64::MAX));
        if grace >= earlier {
            return;
        }
        *ordered = Some((begun, grace));
        let grace = Duration::from_secs(grace.unsigned_abs());
        // Nobody sends requests to a pod that was not ready.
        let served = self.shared.known().main.iter().any(|record| record.ready);
        let settle = if served {
            self.host.config.settle.min(grace / 2)
        } else {
            Duration::ZERO
        };
        stop.send_replace(Some(Stop {
            deadline: begun + grace,
            settle,
            hooks: true,
        }));
    }

    /// All containers of a deleted pod have ended: say so, and let the object go.
    async fn finish(&mut self, inbox: &mut Inbox) -> bool {
        self.shared.update(|known| known.over = true);
        self.write_status().await;
        let pods: Api<Pod> = Api::namespaced(
            self.host.client.clone(),
            &self.pod.namespace().unwrap_or_default(),
        );
        let exactly = Preconditions {
            uid: Some(self.uid.clone()),
            resource_version: None,
        };
        let now = DeleteParams::default()
            .grace_period(0)
            .preconditions(exactly);
        loop {
            match pods
                .delete(&self.pod.name_any(), &now)
                .await
                .map_err(ApiFailure::from)
            {
                Ok(_) => return true,
                Err(failure) if failure.is_not_found() || failure.is_conflict() => {
                    return true;
                }
                Err(failure) => {
                    tracing::warn!(pod = self.pod.name_any(), %failure, "cannot delete; trying again");
                }
            }
            tokio::select! {
                () = sleep(STATUS_RETRY) => {}
                () = inbox.gone.cancelled() => return true,
                () = inbox.shutdown.cancelled() => return false,
            }
        }
    }

    /// Write the status if it differs from what was written last.
    async fn write_status(&mut self) {
        // What was written last is newer than what the watch has shown so far.
        let before = self.written.as_ref().or(self.pod.status.as_ref());
        let status = status::pod_status(&self.pod, before, &self.shared.known(), Timestamp::now());
        if before == Some(&status) {
            return;
        }
        let pods: Api<Pod> = Api::namespaced(
            self.host.client.clone(),
            &self.pod.namespace().unwrap_or_default(),
        );
        let patch = json!({"metadata": {"uid": self.uid}, "status": status});
        match pods
            .patch_status(
                &self.pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(ApiFailure::from)
        {
            Ok(_) => self.written = Some(status),
            Err(failure) if failure.is_not_found() || failure.is_conflict() => {}
            Err(failure) => {
                tracing::warn!(pod = self.pod.name_any(), %failure, "cannot write the status; trying again");
                let shared = self.shared.clone();
                tokio::spawn(async move {
                    sleep(STATUS_RETRY).await;
                    shared.changed.notify_one();
                });
            }
        }
    }
}

fn records(
    containers: Option<&[Container]>,
    waiting: &'static str,
    old: Option<&[ContainerStatus]>,
) -> Vec<Record> {
    let mut records: Vec<Record> = containers
        .unwrap_or_default()
        .iter()
        .map(|container| Record::new(container, waiting))
        .collect();
    for record in &mut records {
        if let Some(status) = old
            .unwrap_or_default()
            .iter()
            .find(|status| status.name == record.name)
        {
            record.resume(status);
        }
    }
    records
}

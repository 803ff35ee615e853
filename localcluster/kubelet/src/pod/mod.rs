//! The task that runs one pod until it is deleted.

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

/// Delay before a failed status write or deletion is retried.
const STATUS_RETRY: Duration = Duration::from_secs(1);

/// Input of a pod's task.
pub(crate) struct Inbox {
    /// The current object.
    pub(crate) pod: watch::Receiver<Arc<Pod>>,
    /// Cancelled when the pod is removed from the API.
    pub(crate) gone: CancellationToken,
    /// Cancelled when the kubelet shuts down. The pod remains.
    pub(crate) shutdown: CancellationToken,
}

/// Runs a pod until it is deleted or the kubelet shuts down.
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

/// Removes the folders of a pod.
pub(crate) async fn clean(host: &Host, pod: &Pod, uid: &str) {
    for folder in [host.config.pods_dir().join(uid), log_folder(host, pod)] {
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %folder.display(), %error, "cannot remove the folder of a deleted pod");
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

    /// Returns `true` if the pod was deleted, `false` if the kubelet shuts down.
    async fn run(mut self, inbox: &mut Inbox) -> bool {
        // Nothing is running: the pod was deleted while no kubelet ran, or the previous kubelet was
        // killed before it could finalize the deletion.
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
                    // The pod may have readiness gates, whose conditions others set.
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

    /// Emits events for the fields of the pod that have no effect, once per pod.
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

    /// Stops the containers of a deleted pod, and again when its grace period is shortened.
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
        // A pod that was not ready receives no requests, so it needs no settle delay.
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

    /// Finalizes the deletion after all containers have ended: writes the last status and removes
    /// the object from the API.
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
                    tracing::warn!(pod = self.pod.name_any(), %failure, "cannot finalize the deletion; retrying");
                }
            }
            tokio::select! {
                () = sleep(STATUS_RETRY) => {}
                () = inbox.gone.cancelled() => return true,
                () = inbox.shutdown.cancelled() => return false,
            }
        }
    }

    /// Writes the status if it has changed since the last write.
    async fn write_status(&mut self) {
        // The last written status is newer than the one from the watch.
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
                tracing::warn!(pod = self.pod.name_any(), %failure, "cannot write the status; retrying");
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

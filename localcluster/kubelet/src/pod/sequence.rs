//! Start and stop order of a pod's containers.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;
use localcluster_shared::events::Occurrence;
use tokio::time::Instant;

use super::{
    container::{Rest, Restart, Runner},
    prepare,
    record::State,
    shared::{Shared, Slot, Stop, StopSignal},
};
use crate::{
    config::ApiAccess,
    host::Host,
    spec::{Injected, PodFolders},
};

/// Initial and maximum delay between attempts to prepare a pod.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// State shared by the tasks of a pod's containers.
pub(super) struct Parts {
    pub(super) host: Arc<Host>,
    pub(super) pod: Arc<Pod>,
    pub(super) spec: PodSpec,
    pub(super) folders: PodFolders,
    pub(super) shared: Arc<Shared>,
}

/// Runs the init containers one after the other, then all others in parallel. Returns when all have
/// ended.
pub(super) async fn run_containers(parts: Arc<Parts>, mut stop: StopSignal) {
    let Some(injected) = parts.prepare(&mut stop).await else {
        return;
    };
    let policy = parts.spec.restart_policy.as_deref().unwrap_or("Always");
    let (main, init) = match policy {
        "Never" => (Restart::Never, Restart::Never),
        "OnFailure" => (Restart::OnFailure, Restart::OnFailure),
        _ => (Restart::Always, Restart::OnFailure),
    };
    // Sidecars are stopped after the main containers, in reverse order of their start.
    let mut sidecars = Vec::new();
    let mut go_on = true;
    for (index, container) in parts.spec.init_containers.iter().flatten().enumerate() {
        let slot = Slot::Init(index);
        if container.restart_policy.as_deref() == Some("Always") {
            let (order, signal) = StopSignal::new();
            let sidecar = tokio::spawn(
                parts
                    .runner(container, slot, Restart::Always, &signal, &injected)
                    .run(),
            );
            let started = parts.until_started(slot, &mut stop).await;
            sidecars.push((order, sidecar));
            go_on = started;
        } else {
            let rest = parts
                .runner(container, slot, init, &stop, &injected)
                .run()
                .await;
            go_on = rest == Rest::Completed;
        }
        if !go_on {
            break;
        }
    }
    if go_on {
        let mut running: FuturesUnordered<_> = parts
            .spec
            .containers
            .iter()
            .enumerate()
            .map(|(index, container)| {
                tokio::spawn(
                    parts
                        .runner(container, Slot::Main(index), main, &stop, &injected)
                        .run(),
                )
            })
            .collect();
        while let Some(rest) = running.next().await {
            if let Err(error) = rest {
                tracing::error!(%error, "container task panicked");
            }
        }
    }
    for (order, sidecar) in sidecars.into_iter().rev() {
        let hurry = Stop {
            deadline: Instant::now() + Duration::from_secs(30),
            settle: Duration::ZERO,
            hooks: true,
        };
        order.send_replace(Some(if stop.is_ordered() {
            Stop {
                settle: Duration::ZERO,
                ..stop.ordered().await
            }
        } else {
            hurry
        }));
        // Ends by the deadline.
        let _ = sidecar.await;
    }
}

impl Parts {
    fn runner(
        &self,
        container: &Container,
        slot: Slot,
        restart: Restart,
        stop: &StopSignal,
        injected: &Injected,
    ) -> Runner {
        Runner {
            host: self.host.clone(),
            pod: self.pod.clone(),
            container: container.clone(),
            slot,
            restart,
            shared: self.shared.clone(),
            stop: stop.clone(),
            injected: injected.clone(),
            folders: self.folders.clone(),
        }
    }

    /// Prepares folders, service account and address. `None` if the pod is stopped before, or
    /// cannot run at all.
    async fn prepare(&self, stop: &mut StopSignal) -> Option<Injected> {
        let Some(address) = self.shared.known().address else {
            let message = "no free pod address is left in this cluster's block".to_owned();
            self.shared
                .update(|known| known.trouble = Some(("OutOfPodAddresses", message)));
            return None;
        };
        let mut retry = PREPARE_RETRY.0;
        let renew = loop {
            let unprepared = match prepare::pod(&self.host, &self.pod, &self.folders).await {
                Ok(renew) => break renew,
                Err(unprepared) => unprepared,
            };
            // In a new namespace the service account may appear shortly after the first pods.
            if retry > PREPARE_RETRY.0 * 8 {
                let failed = Occurrence::warning("FailedMount", unprepared.message.clone());
                self.host.events.emit(&self.pod, None, failed);
                self.shared.update(|known| {
                    for record in known.init.iter_mut().chain(&mut known.main) {
                        record.state = State::Waiting {
                            reason: unprepared.reason,
                            message: Some(unprepared.message.clone()),
                        };
                    }
                });
            }
            if stop.interrupted(retry).await {
                return None;
            }
            retry = (retry * 2).min(PREPARE_RETRY.1);
        };
        if let Some(renew) = renew {
            self.keep_token_fresh(renew, stop.clone());
        }
        Some(Injected {
            pod_ip: address.to_string(),
            host_ip: self.host.config.host_ip().to_string(),
            proxy: self.host.config.proxy.clone(),
            api_server: self
                .host
                .config
                .api
                .as_ref()
                .and_then(ApiAccess::host_and_port),
            service_account: renew.map(|_| self.folders.service_account()),
            home: self.folders.home(),
            ..Injected::default()
        })
    }

    fn keep_token_fresh(&self, mut wait: Duration, mut stop: StopSignal) {
        let (host, pod, folders) = (self.host.clone(), self.pod.clone(), self.folders.clone());
        let account = self
            .spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".into());
        tokio::spawn(async move {
            while !stop.interrupted(wait).await {
                let namespace = pod.namespace().unwrap_or_default();
                wait = match prepare::renew_token(&host, &namespace, &account, &folders).await {
                    Ok(wait) => wait,
                    Err(unprepared) => {
                        host.events.emit(
                            &pod,
                            None,
                            Occurrence::warning("FailedMount", unprepared.message),
                        );
                        PREPARE_RETRY.1
                    }
                };
            }
        });
    }

    /// Waits until a sidecar has started. `false` if the pod is stopped before.
    async fn until_started(&self, slot: Slot, stop: &mut StopSignal) -> bool {
        while !self
            .shared
            .record(slot)
            .is_some_and(|record| record.started)
        {
            if stop.interrupted(Duration::from_millis(20)).await {
                return false;
            }
        }
        true
    }
}

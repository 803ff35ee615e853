//! Emits events on objects of kinds that no controller of this cluster handles.

use std::collections::HashSet;

use kube::ResourceExt;
use localcluster_shared::events::{Occurrence, Recorder};
use tokio::sync::mpsc;

use crate::inventory::{Change, Kind, Meta, reference};

/// Group, kind and consequence.
const NOT_RUN: [(&str, &str, &str); 7] = [
    ("apps", "StatefulSet", "no pods are created"),
    ("apps", "DaemonSet", "no pods are created"),
    ("batch", "Job", "no pods are created"),
    ("batch", "CronJob", "no jobs are created"),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "nothing is scaled",
    ),
    (
        "networking.k8s.io",
        "Ingress",
        "no traffic is routed; use a Gateway and a VirtualService",
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        "no traffic is filtered",
    ),
];

/// Processes all changes forever and forwards them to `next`.
pub(crate) async fn run(
    recorder: Recorder,
    mut changes: mpsc::UnboundedReceiver<Change>,
    next: mpsc::UnboundedSender<Change>,
) {
    let mut reported = HashSet::new();
    while let Some(change) = changes.recv().await {
        match &change {
            Change::Is(kind, object) => report(&recorder, &mut reported, kind, object).await,
            Change::All(kind, objects) => {
                for object in objects {
                    report(&recorder, &mut reported, kind, object).await;
                }
            }
            Change::Gone(object) => drop(object.uid().is_some_and(|uid| reported.remove(&uid))),
            Change::KindGone(_) => {}
        }
        if next.send(change).is_err() {
            return;
        }
    }
}

async fn report(recorder: &Recorder, reported: &mut HashSet<String>, kind: &Kind, object: &Meta) {
    let listed = NOT_RUN
        .iter()
        .find(|(group, name, _)| kind.resource.group == *group && kind.resource.kind == *name);
    let (Some((_, name, consequence)), Some(uid)) = (listed, object.uid()) else {
        return;
    };
    if reported.insert(uid) {
        let message = format!("This cluster runs no {name} controller: {consequence}.");
        recorder
            .record(
                &reference(kind, object),
                Occurrence::warning("Unsupported", message),
            )
            .await;
    }
}

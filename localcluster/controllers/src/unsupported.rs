//! Says on objects that nothing here acts on them.

use std::collections::HashSet;

use kube::ResourceExt;
use localcluster_shared::events::{Occurrence, Recorder};
use tokio::sync::mpsc;

use crate::inventory::{Change, Kind, Meta, reference};

/// (group, kind, what will not happen).
const NOT_RUN: [(&str, &str, &str); 7] = [
    ("apps", "StatefulSet", "no pods are made for it"),
    ("apps", "DaemonSet", "no pods are made for it"),
    ("batch", "Job", "no pods are made for it"),
    ("batch", "CronJob", "no jobs are made for it"),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        "nothing is scaled",
    ),
    (
        "networking.k8s.io",
        "Ingress",
        "it routes nothing; use a Gateway and a VirtualService",
    ),
    (
        "networking.k8s.io",
        "NetworkPolicy",
        "no traffic is filtered",
    ),
];

/// Follow all objects for ever, handing every change on to `next`.
pub(crate) async fn run(
    recorder: Recorder,
    mut changes: mpsc::UnboundedReceiver<Change>,
    next: mpsc::UnboundedSender<Change>,
) {
    let mut told = HashSet::new();
    while let Some(change) = changes.recv().await {
        match &change {
            Change::Is(kind, object) => tell(&recorder, &mut told, kind, object).await,
            Change::All(kind, objects) => {
                for object in objects {
                    tell(&recorder, &mut told, kind, object).await;
                }
            }
            Change::Gone(object) => drop(object.uid().is_some_and(|uid| told.remove(&uid))),
            Change::KindGone(_) => {}
        }
        if next.send(change).is_err() {
            return;
        }
    }
}

async fn tell(recorder: &Recorder, told: &mut HashSet<String>, kind: &Kind, object: &Meta) {
    let listed = NOT_RUN
        .iter()
        .find(|(group, name, _)| kind.resource.group == *group && kind.resource.kind == *name);
    let (Some((_, name, consequence)), Some(uid)) = (listed, object.uid()) else {
        return;
    };
    if told.insert(uid) {
        let message = format!("This cluster runs no {name} controller: {consequence}.");
        recorder
            .record(
                &reference(kind, object),
                Occurrence::warning("Unsupported", message),
            )
            .await;
    }
}

//! The ReplicaSet controller.

mod expect;
mod plan;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use api_failure::ApiFailure;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{Selector, SelectorExt},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use localcluster_shared::{
    events::{Occurrence, Recorder},
    feed::{Feed, Queue, controller_of},
};
use serde_json::json;

use crate::{Error, requeue};
use expect::Expectations;
use plan::{Failure, Plan, View};

/// Alphabet of random name suffixes. Without vowels and similar characters, to avoid words.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Maximum number of pods created or deleted per reconciliation (Kubernetes: `BurstReplicas`).
const BURST: usize = 500;

/// Dependencies of a reconciliation.
pub(crate) struct Context {
    client: Client,
    recorder: Recorder,
    pods: Store<Pod>,
    expectations: Arc<Expectations>,
    failures: Mutex<HashMap<String, Failure>>,
}

impl Context {
    /// Subscribes to ReplicaSets and their pods.
    pub(crate) fn new(
        client: Client,
        sets: &mut Feed<ReplicaSet>,
        pods: &mut Feed<Pod>,
        queue: &Queue<ReplicaSet>,
    ) -> Arc<Self> {
        let expectations = Arc::new(Expectations::default());
        // Fulfil expectations before queueing keys, so that the reconciliation sees them fulfilled.
        let seen = expectations.clone();
        pods.on_change(move |_, after| {
            if let Some(pod) = after {
                seen.saw(pod);
            }
        });
        let gone = expectations.clone();
        pods.on_change(move |before, after| {
            if let (Some(pod), None) = (before, after) {
                gone.saw_deleted(pod);
            }
        });
        sets.enqueue(queue, |set| vec![ObjectRef::from_obj(set)]);
        let known = sets.store();
        pods.enqueue(queue, move |pod| match controller_of::<ReplicaSet>(pod) {
            Some(owner) => vec![owner],
            None if pod
                .owner_references()
                .iter()
                .any(|owner| owner.controller == Some(true)) =>
            {
                Vec::new()
            }
            None => known
                .state_filter(|set| {
                    set.namespace() == pod.namespace()
                        && selector(set).is_some_and(|s| s.matches(pod.labels()))
                })
                .iter()
                .map(|set| ObjectRef::from_obj(&**set))
                .collect(),
        });
        let recorder = Recorder::new(client.clone(), "replicaset-controller", "");
        Arc::new(Self {
            client,
            recorder,
            pods: pods.store(),
            expectations,
            failures: Mutex::default(),
        })
    }

    fn failure(&self, uid: &str) -> Option<Failure> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
    }

    fn set_failure(&self, uid: &str, failure: Option<Failure>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(failure) => failures.insert(uid.to_owned(), failure),
            None => failures.remove(uid),
        };
    }
}

fn selector(set: &ReplicaSet) -> Option<Selector> {
    let selector = &set.spec.as_ref()?.selector;
    if crate::selects_everything(selector) {
        return None;
    }
    Selector::try_from(selector.clone()).ok()
}

/// Reconciles one ReplicaSet.
pub(crate) async fn reconcile(
    set: Arc<ReplicaSet>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    // 1. Observe (local copies only).
    let (Some(uid), Some(selector)) = (set.uid(), selector(&set)) else {
        return Ok(Action::await_change());
    };
    let pods = context.pods.state_filter(|pod| {
        pod.namespace() == set.namespace()
            && (selector.matches(pod.labels())
                || controller_of::<ReplicaSet>(pod)
                    .is_some_and(|owner| owner.name == set.name_any()))
    });
    let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
    // 2. Decide.
    let failure = context.failure(&uid);
    let unseen = context.expectations.unseen(&uid);
    let plan = plan::plan(View {
        set: &set,
        pods: &pods,
        failure: failure.as_ref(),
        unseen,
        now: Timestamp::now(),
    });
    let requeue_after = plan.requeue_after;
    // 3. Apply.
    let outcome = apply(&set, &uid, plan, &context).await;
    if unseen > 0 {
        // A pod's event normally triggers the next reconciliation. This covers lost events.
        return outcome.map(|()| Action::requeue(expect::FORGET_AFTER));
    }
    outcome.map(|()| requeue(requeue_after))
}

async fn apply(set: &ReplicaSet, uid: &str, plan: Plan, context: &Context) -> Result<(), Error> {
    let namespace = set.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    for name in &plan.adopt {
        let owners = plan::new_pod(set, "").metadata.owner_references;
        patch_owners(&pods, name, json!(owners)).await?;
    }
    for name in &plan.release {
        patch_owners(&pods, name, json!([])).await?;
    }
    if let Some(status) = &plan.status {
        let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
        // A merge patch removes absent lists and numbers only with an explicit null.
        let patch = json!({"metadata": {"uid": uid}, "status": {
            "replicas": status.replicas, "fullyLabeledReplicas": status.fully_labeled_replicas,
            "readyReplicas": status.ready_replicas, "availableReplicas": status.available_replicas,
            "observedGeneration": status.observed_generation, "conditions": status.conditions,
        }});
        match sets
            .patch_status(
                &set.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_not_found() => return Ok(()),
            other => other.map_err(Error::on(set, "update the status of"))?,
        };
    }
    let outcome = match change_pods(&pods, set, uid, &plan, context).await {
        Ok(()) => None,
        Err((failure, error)) => {
            context
                .recorder
                .record(
                    &set.object_ref(&()),
                    Occurrence::warning(failure.reason, failure.message.clone()),
                )
                .await;
            Some((failure, error))
        }
    };
    let before = context.failure(uid);
    if outcome.is_some() || plan.create + plan.delete.len() > 0 {
        context.set_failure(uid, outcome.as_ref().map(|(failure, _)| failure.clone()));
    }
    match outcome {
        Some((_, error)) => Err(error),
        // The next reconciliation removes the condition of an earlier failure.
        None if before.is_some() && context.failure(uid).is_none() => Err(Error::Again),
        None => Ok(()),
    }
}

async fn patch_owners(pods: &Api<Pod>, name: &str, owners: serde_json::Value) -> Result<(), Error> {
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
    match pods
        .patch(name, &PatchParams::default(), &patch)
        .await
        .map_err(ApiFailure::from)
    {
        Err(failure) if failure.is_not_found() => Ok(()),
        other => other
            .map(|_| ())
            .map_err(Error::about("Pod", name, "change the owner of")),
    }
}

async fn change_pods(
    pods: &Api<Pod>,
    set: &ReplicaSet,
    uid: &str,
    plan: &Plan,
    context: &Context,
) -> Result<(), (Failure, Error)> {
    let reference = set.object_ref(&());
    for _ in 0..plan.create.min(BURST) {
        let suffix: String = (0..5)
            .map(|_| char::from(SUFFIX_LETTERS[fastrand::usize(..SUFFIX_LETTERS.len())]))
            .collect();
        let pod = plan::new_pod(set, &suffix);
        let name = pod.name_any();
        context.expectations.creating(uid, &name);
        let created = pods.create(&PostParams::default(), &pod).await;
        if let Err(failure) = created.map_err(ApiFailure::from) {
            context.expectations.not_created(uid, &name);
            // Not worth an event or another attempt: everything in the namespace goes too.
            if failure.is_namespace_terminating() {
                return Ok(());
            }
            let message = format!("Error creating: {failure}");
            return Err((
                Failure {
                    reason: "FailedCreate",
                    message,
                },
                Error::about("Pod", &name, "create")(failure),
            ));
        }
        context
            .recorder
            .record(
                &reference,
                Occurrence::normal("SuccessfulCreate", format!("Created pod: {name}")),
            )
            .await;
    }
    for name in plan.delete.iter().take(BURST) {
        let victim = context
            .pods
            .get(&ObjectRef::new(name).within(&set.namespace().unwrap_or_default()));
        let Some(pod_uid) = victim.and_then(|pod| pod.uid()) else {
            continue;
        };
        context.expectations.deleting(uid, &pod_uid);
        let exactly = Preconditions {
            uid: Some(pod_uid.clone()),
            resource_version: None,
        };
        match pods
            .delete(name, &DeleteParams::default().preconditions(exactly))
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_not_found() || failure.is_conflict() => {
                context.expectations.not_deleted(uid, &pod_uid);
            }
            Err(failure) => {
                context.expectations.not_deleted(uid, &pod_uid);
                let message = format!("Error deleting: {failure}");
                return Err((
                    Failure {
                        reason: "FailedDelete",
                        message,
                    },
                    Error::about("Pod", name, "delete")(failure),
                ));
            }
            Ok(_) => {
                let deleted =
                    Occurrence::normal("SuccessfulDelete", format!("Deleted pod: {name}"));
                context.recorder.record(&reference, deleted).await;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

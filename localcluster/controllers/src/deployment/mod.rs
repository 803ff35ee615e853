//! The Deployment controller.

mod conditions;
mod fields;
mod history;
mod plan;
mod rollout;
mod round;
mod scale;
mod template;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use api_failure::ApiFailure;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus, ReplicaSet},
    core::v1::Pod,
};
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

use crate::{Error, availability::is_finished, requeue};
use round::{Plan, View, Write};

/// Dependencies of a reconciliation.
pub(crate) struct Context {
    client: Client,
    recorder: Recorder,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    /// Error of the last creation of a ReplicaSet, by uid of the Deployment.
    create_errors: Mutex<HashMap<String, String>>,
}

impl Context {
    /// Subscribes to Deployments, their ReplicaSets and pods.
    pub(crate) fn new(
        client: Client,
        deployments: &mut Feed<Deployment>,
        sets: &mut Feed<ReplicaSet>,
        pods: &mut Feed<Pod>,
        queue: &Queue<Deployment>,
    ) -> Arc<Self> {
        deployments.enqueue(queue, |deployment| vec![ObjectRef::from_obj(deployment)]);
        sets.enqueue(queue, |set| {
            controller_of::<Deployment>(set).into_iter().collect()
        });
        // Strategy Recreate waits until the last old pod is removed.
        let (known, queue) = (sets.store(), queue.clone());
        pods.on_change(move |before, after| {
            if let (Some(pod), None) = (before, after)
                && let Some(set) =
                    controller_of::<ReplicaSet>(pod).and_then(|owner| known.get(&owner))
                && let Some(deployment) = controller_of::<Deployment>(&*set)
            {
                queue.push(deployment);
            }
        });
        let recorder = Recorder::new(client.clone(), "deployment-controller", "");
        Arc::new(Self {
            client,
            recorder,
            sets: sets.store(),
            pods: pods.store(),
            create_errors: Mutex::default(),
        })
    }

    fn create_error(&self, uid: &str) -> Option<String> {
        self.create_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
    }

    fn set_create_error(&self, uid: &str, error: Option<String>) {
        let mut all = self
            .create_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => all.insert(uid.to_owned(), error),
            None => all.remove(uid),
        };
    }
}

/// Reconciles one Deployment.
pub(crate) async fn reconcile(
    deployment: Arc<Deployment>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    // 1. Observe (local copies only).
    let (Some(uid), Some(spec)) = (deployment.uid(), &deployment.spec) else {
        return Ok(Action::await_change());
    };
    if crate::selects_everything(&spec.selector) {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        context
            .recorder
            .record(
                &deployment.object_ref(&()),
                Occurrence::warning("SelectingAll", message),
            )
            .await;
        return Ok(Action::await_change());
    }
    let Ok(selector) = Selector::try_from(spec.selector.clone()) else {
        return Ok(Action::await_change());
    };
    let mut sets = Vec::new();
    for set in context
        .sets
        .state_filter(|set| set.namespace() == deployment.namespace())
    {
        let owner = set
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone());
        match owner {
            Some(owner) if owner == uid => sets.push((*set).clone()),
            None if selector.matches(set.labels())
                && set.metadata.deletion_timestamp.is_none()
                && deployment.metadata.deletion_timestamp.is_none() =>
            {
                adopt(&deployment, &set, &context).await?;
            }
            _ => {}
        }
    }
    sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), set.name_any()));
    // 2. Decide.
    let create_error = context.create_error(&uid);
    let view = View {
        deployment: &deployment,
        sets: &sets,
        old_pods_running: old_pods_running(&deployment, &sets, &context),
        create_error: create_error.as_deref(),
        now: Timestamp::now(),
    };
    let plan = plan::plan(view);
    let requeue_after = plan.requeue_after;
    // 3. Apply.
    apply(&deployment, &uid, plan, &context).await?;
    Ok(requeue(requeue_after))
}

async fn adopt(deployment: &Deployment, set: &ReplicaSet, context: &Context) -> Result<(), Error> {
    let sets: Api<ReplicaSet> =
        Api::namespaced(context.client.clone(), &set.namespace().unwrap_or_default());
    let owner = deployment.controller_owner_ref(&());
    let patch = json!({"metadata": {"uid": set.uid(), "ownerReferences": [owner]}});
    let patched = sets
        .patch(
            &set.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    patched.map(|_| ()).map_err(Error::on(set, "adopt"))
}

fn old_pods_running(deployment: &Deployment, sets: &[ReplicaSet], context: &Context) -> bool {
    let new = template::find_new(deployment, sets).and_then(ResourceExt::uid);
    let old = |uid: &str| {
        Some(uid) != new.as_deref() && sets.iter().any(|set| set.uid().as_deref() == Some(uid))
    };
    let found = context.pods.find(|pod| {
        pod.namespace() == deployment.namespace()
            && !is_finished(pod)
            && pod
                .owner_references()
                .iter()
                .any(|owner| owner.controller == Some(true) && old(&owner.uid))
    });
    found.is_some()
}

async fn apply(
    deployment: &Deployment,
    uid: &str,
    plan: Plan,
    context: &Context,
) -> Result<(), Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    let reference = deployment.object_ref(&());
    for write in &plan.writes {
        match write {
            Write::Create(set) => create(deployment, uid, set, &plan, context).await?,
            Write::Update(set) => update(&sets, set).await?,
            Write::Delete { name, uid } => {
                let exactly = Preconditions {
                    uid: uid.clone(),
                    resource_version: None,
                };
                match sets
                    .delete(name, &DeleteParams::background().preconditions(exactly))
                    .await
                    .map_err(ApiFailure::from)
                {
                    Err(failure) if failure.is_not_found() => {}
                    other => drop(other.map_err(Error::about("ReplicaSet", name, "delete"))?),
                }
            }
            Write::Revision(number) => {
                let patch =
                    json!({"metadata": {"uid": uid, "annotations": {fields::REVISION: number}}});
                let patched = deployments
                    .patch(
                        &deployment.name_any(),
                        &PatchParams::default(),
                        &Patch::Merge(patch),
                    )
                    .await;
                patched.map_err(Error::on(deployment, "annotate"))?;
            }
        }
    }
    for event in plan.events {
        context.recorder.record(&reference, event).await;
    }
    match plan.status {
        Some(status) => write_status(&deployments, deployment, &status).await,
        None => Ok(()),
    }
}

async fn create(
    deployment: &Deployment,
    uid: &str,
    set: &ReplicaSet,
    plan: &Plan,
    context: &Context,
) -> Result<(), Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let sets: Api<ReplicaSet> = Api::namespaced(context.client.clone(), &namespace);
    let deployments: Api<Deployment> = Api::namespaced(context.client.clone(), &namespace);
    let failure = match sets
        .create(&PostParams::default(), set)
        .await
        .map_err(ApiFailure::from)
    {
        Ok(_) => {
            context.set_create_error(uid, None);
            return Ok(());
        }
        Err(failure) if failure.is_already_exists() => {
            let existing = sets
                .get(&set.name_any())
                .await
                .map_err(Error::on(set, "read"))?;
            let ours = existing
                .owner_references()
                .iter()
                .any(|owner| owner.uid == uid);
            let template = |set: &ReplicaSet| {
                set.spec
                    .as_ref()
                    .and_then(|spec| spec.template.clone())
                    .unwrap_or_default()
            };
            if ours && template::equal(&template(&existing), &template(set)) {
                // Created by an earlier reconciliation, but not in the local copy yet.
                return Err(Error::Again);
            }
            // Another template has the same hash. Increment the collision count, which changes the
            // next hash.
            let mut status = deployment.status.clone().unwrap_or_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            write_status(&deployments, deployment, &status).await?;
            return Err(Error::Again);
        }
        // Not worth an event or another attempt: everything in the namespace goes too.
        Err(failure) if failure.is_namespace_terminating() => return Ok(()),
        Err(failure) => failure,
    };
    let message = format!(
        "Failed to create new replica set \"{}\": {failure}",
        set.name_any()
    );
    context.set_create_error(uid, Some(message.clone()));
    context
        .recorder
        .record(
            &deployment.object_ref(&()),
            Occurrence::warning("ReplicaSetCreateError", message),
        )
        .await;
    if let Some(status) = &plan.status {
        write_status(&deployments, deployment, status).await?;
    }
    Err(Error::on(set, "create")(failure))
}

/// Writes the fields of a ReplicaSet that a plan may change. The resource version makes a write
/// based on a stale copy fail.
async fn update(sets: &Api<ReplicaSet>, set: &ReplicaSet) -> Result<(), Error> {
    let patch = json!({
        "metadata": {"uid": set.uid(), "resourceVersion": set.resource_version(), "annotations": set.annotations()},
        "spec": {"replicas": fields::replicas(set), "minReadySeconds": set.spec.as_ref().and_then(|spec| spec.min_ready_seconds)},
    });
    let patched = sets
        .patch(
            &set.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    patched.map(|_| ()).map_err(Error::on(set, "scale"))
}

async fn write_status(
    deployments: &Api<Deployment>,
    deployment: &Deployment,
    status: &DeploymentStatus,
) -> Result<(), Error> {
    // A merge patch removes absent numbers only with an explicit null.
    let patch = json!({"metadata": {"uid": deployment.uid()}, "status": {
        "observedGeneration": status.observed_generation, "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas, "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas, "unavailableReplicas": status.unavailable_replicas,
        "collisionCount": status.collision_count, "conditions": status.conditions,
    }});
    match deployments
        .patch_status(
            &deployment.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await
        .map_err(ApiFailure::from)
    {
        Err(failure) if failure.is_not_found() => Ok(()),
        other => other
            .map(|_| ())
            .map_err(Error::on(deployment, "update the status of")),
    }
}

#[cfg(test)]
mod tests;

//! Garbage collection: deletes objects whose owners no longer exist.

mod graph;

use std::{collections::VecDeque, time::Duration};

use api_failure::{ApiFailure, if_present};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::DynamicObject,
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use crate::inventory::{Change, Kind, Kinds, Meta};
use graph::{Action, Graph, Node, Policy};

/// Delay before an object is retried after a failed request.
const RETRY: Duration = Duration::from_millis(500);

/// Processes all changes forever.
pub(crate) async fn run(
    client: Client,
    kinds: Kinds,
    mut changes: mpsc::UnboundedReceiver<Change>,
) {
    let mut collector = Collector {
        client,
        kinds,
        graph: Graph::default(),
        queue: VecDeque::new(),
        later: VecDeque::new(),
    };
    loop {
        let next = collector.later.front().map(|(at, _)| *at);
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => collector.ingest(change),
                None => return,
            },
            () = due => {
                let again = collector.later.pop_front().map(|(_, uid)| uid);
                collector.queue.extend(again);
            }
        }
        // Ingest all pending changes before deciding.
        while let Ok(change) = changes.try_recv() {
            collector.ingest(change);
        }
        collector.work().await;
    }
}

struct Collector {
    client: Client,
    kinds: Kinds,
    graph: Graph<Kind>,
    queue: VecDeque<String>,
    later: VecDeque<(Instant, String)>,
}

impl Collector {
    fn ingest(&mut self, change: Change) {
        match change {
            Change::Is(kind, object) => self.upsert(&kind, &object),
            Change::Gone(object) => {
                if let Some(uid) = object.uid() {
                    self.queue.extend(self.graph.remove(&uid));
                }
            }
            Change::All(kind, objects) => {
                let present: Vec<String> = objects.iter().filter_map(ResourceExt::uid).collect();
                for uid in self.graph.uids(|node| node.kind == kind) {
                    if !present.contains(&uid) {
                        self.queue.extend(self.graph.remove(&uid));
                    }
                }
                for object in &objects {
                    self.upsert(&kind, object);
                }
                // Dependents of this kind could not be decided before.
                let names = |owner: &OwnerReference| owner.kind == kind.resource.kind;
                self.queue
                    .extend(self.graph.uids(|node| node.owners.iter().any(names)));
            }
            Change::KindGone(resource) => {
                for uid in self.graph.uids(|node| node.kind.resource == resource) {
                    self.queue.extend(self.graph.remove(&uid));
                }
            }
        }
    }

    fn upsert(&mut self, kind: &Kind, object: &Meta) {
        let Some(uid) = object.uid() else { return };
        let node = Node {
            kind: kind.clone(),
            namespace: object.namespace(),
            name: object.name_any(),
            resource_version: object.resource_version(),
            owners: object.owner_references().to_vec(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            finalizers: object.finalizers().to_vec(),
        };
        self.queue.extend(self.graph.upsert(&uid, node));
    }

    async fn work(&mut self) {
        while let Some(uid) = self.queue.pop_front() {
            for action in self.graph.decide(&uid) {
                if let Err(failure) = self.apply(&uid, action).await {
                    tracing::debug!(uid, %failure, "garbage collection failed; retrying");
                    self.later.push_back((Instant::now() + RETRY, uid.clone()));
                }
            }
        }
    }

    async fn apply(&mut self, dependent: &str, action: Action) -> Result<(), ApiFailure> {
        match action {
            Action::Verify(owners) => {
                for owner in owners {
                    match self.exists(dependent, &owner).await? {
                        // The owner's watch lags behind. Decide again later.
                        Some(true) => self
                            .later
                            .push_back((Instant::now() + RETRY, dependent.to_owned())),
                        Some(false) => {
                            self.graph.is_absent(&owner.uid);
                            self.queue.push_back(dependent.to_owned());
                        }
                        // Decided again after the first list of the kind.
                        None => {}
                    }
                }
                Ok(())
            }
            Action::Delete { uid, policy } => self.delete(&uid, policy).await,
            Action::SetOwners { uid, owners } => {
                self.patch(&uid, "ownerReferences", json!(owners)).await
            }
            Action::SetFinalizers { uid, finalizers } => {
                self.patch(&uid, "finalizers", json!(finalizers)).await
            }
        }
    }

    /// Returns whether the owner exists with this uid. `None` if its kind is not served (yet), so
    /// that nothing can be concluded.
    async fn exists(
        &self,
        dependent: &str,
        owner: &OwnerReference,
    ) -> Result<Option<bool>, ApiFailure> {
        let group = owner
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let same = |kind: &&Kind| kind.resource.group == group && kind.resource.kind == owner.kind;
        let kind = self.kinds.borrow().iter().find(same).cloned();
        let (Some(kind), Some(node)) = (kind, self.graph.get(dependent)) else {
            return Ok(None);
        };
        let api: Api<Meta> = kind.api(&self.client, node.namespace.as_deref());
        let found = if_present(api.get_metadata(&owner.name).await)?;
        Ok(Some(found.is_some_and(|found| {
            found.uid().as_ref() == Some(&owner.uid)
        })))
    }

    async fn delete(&self, uid: &str, policy: Policy) -> Result<(), ApiFailure> {
        let Some(node) = self.graph.get(uid) else {
            return Ok(());
        };
        let api: Api<DynamicObject> = node.kind.api(&self.client, node.namespace.as_deref());
        let propagation = match policy {
            Policy::Background => PropagationPolicy::Background,
            Policy::Foreground => PropagationPolicy::Foreground,
            Policy::Orphan => PropagationPolicy::Orphan,
        };
        // Also check the resource version, as an owner may have been added in the meantime.
        let exactly = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: node.resource_version.clone(),
        };
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(exactly),
            ..DeleteParams::default()
        };
        match api
            .delete(&node.name, &params)
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    async fn patch(
        &self,
        uid: &str,
        field: &str,
        value: serde_json::Value,
    ) -> Result<(), ApiFailure> {
        let Some(node) = self.graph.get(uid) else {
            return Ok(());
        };
        let api: Api<DynamicObject> = node.kind.api(&self.client, node.namespace.as_deref());
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": node.resource_version, field: value}});
        match api
            .patch(&node.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

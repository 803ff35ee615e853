//! Watches the metadata of all objects of all served kinds, including custom resources that are
//! added and removed.

use std::collections::HashMap;

use api_failure::ApiFailure;
use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Discovery, Resource,
    core::{ApiResource, DynamicObject, PartialObjectMeta},
    discovery::{Scope, verbs},
    runtime::{reflector::ObjectRef, watcher::Event},
};
use localcluster_shared::{feed::Feed, watch::watch as watch_objects};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Duration, sleep},
};

/// Delay before a failed discovery is retried.
const RETRY: Duration = Duration::from_secs(1);

/// A kind that supports list, watch and delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
}

impl Kind {
    /// API of this kind in a namespace, or in all namespaces if it is `None`.
    pub(crate) fn api<K>(&self, client: &Client, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>,
    {
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// The metadata of one object.
pub(crate) type Meta = PartialObjectMeta<DynamicObject>;

/// A change of the objects of a kind.
#[derive(Debug)]
pub(crate) enum Change {
    /// An object was created or updated.
    Is(Kind, Box<Meta>),
    /// An object was deleted.
    Gone(Box<Meta>),
    /// The complete list. Objects of the kind that are not in it have been deleted.
    All(Kind, Vec<Meta>),
    /// The kind itself was removed.
    KindGone(ApiResource),
}

/// The known kinds; empty until the first discovery.
pub(crate) type Kinds = watch::Receiver<Vec<Kind>>;

/// Keeps the list of kinds up to date.
pub(crate) struct Catalog {
    client: Client,
    sender: watch::Sender<Vec<Kind>>,
    wake: mpsc::UnboundedReceiver<()>,
}

impl Catalog {
    /// Creates a catalog that repeats the discovery when a CustomResourceDefinition changes.
    pub(crate) fn new(client: Client, definitions: &mut Feed<CustomResourceDefinition>) -> Self {
        let (waker, wake) = mpsc::unbounded_channel();
        definitions.on_change(move |before, after| {
            let established = |definition: Option<&CustomResourceDefinition>| {
                let status = definition.and_then(|definition| definition.status.as_ref());
                let conditions = status.and_then(|status| status.conditions.as_ref());
                conditions
                    .into_iter()
                    .flatten()
                    .any(|c| c.type_ == "Established" && c.status == "True")
            };
            let spec = |definition: Option<&CustomResourceDefinition>| {
                definition.map(|definition| definition.spec.clone())
            };
            if established(before) != established(after)
                || (established(after) && spec(before) != spec(after))
            {
                // The catalog outlives the feed.
                let _ = waker.send(());
            }
        });
        let (sender, _) = watch::channel(Vec::new());
        Self {
            client,
            sender,
            wake,
        }
    }

    pub(crate) fn kinds(&self) -> Kinds {
        self.sender.subscribe()
    }

    /// Runs a discovery now and after every change.
    pub(crate) async fn run(mut self) {
        loop {
            match discover(&self.client).await {
                Ok(kinds) => {
                    self.sender.send_if_modified(|known| {
                        let changed = *known != kinds;
                        *known = kinds;
                        changed
                    });
                    if self.wake.recv().await.is_none() {
                        return;
                    }
                    // Definitions are usually applied in batches.
                    while self.wake.try_recv().is_ok() {}
                }
                Err(failure) => {
                    tracing::warn!(%failure, "API discovery failed; retrying");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

async fn discover(client: &Client) -> Result<Vec<Kind>, ApiFailure> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut kinds = Vec::new();
    for (resource, capabilities) in discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
    {
        let usable = [verbs::LIST, verbs::WATCH, verbs::DELETE]
            .iter()
            .all(|verb| capabilities.supports_operation(verb));
        // `events.k8s.io` serves the same objects as the core group.
        let double = resource.group == "events.k8s.io";
        if usable && !double {
            kinds.push(Kind {
                resource,
                namespaced: capabilities.scope == Scope::Namespaced,
            });
        }
    }
    kinds.sort_by(|a, b| {
        (&a.resource.group, &a.resource.plural).cmp(&(&b.resource.group, &b.resource.plural))
    });
    Ok(kinds)
}

/// Watches the metadata of every kind in `kinds` and forwards the changes.
pub(crate) async fn watch_all(
    client: Client,
    mut kinds: Kinds,
    changes: mpsc::UnboundedSender<Change>,
) {
    let mut watches: HashMap<ApiResource, AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = kinds.borrow_and_update().clone();
        // Events have no owners or dependents and change more often than everything else.
        let wanted: Vec<Kind> = wanted
            .into_iter()
            .filter(|kind| kind.resource.plural != "events")
            .collect();
        watches.retain(|resource, watch| {
            let stays = wanted.iter().any(|kind| kind.resource == *resource);
            if !stays {
                watch.abort();
                // Fails only at shutdown.
                let _ = changes.send(Change::KindGone(resource.clone()));
            }
            stays
        });
        for kind in wanted {
            let (client, changes) = (client.clone(), changes.clone());
            watches
                .entry(kind.resource.clone())
                .or_insert_with(|| tasks.spawn(watch_kind(client, kind, changes)));
        }
        if kinds.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_kind(client: Client, kind: Kind, changes: mpsc::UnboundedSender<Change>) {
    let api: Api<Meta> = kind.api(&client, None);
    let mut events = watch_objects(api, kind.resource.kind.clone()).boxed();
    let mut listing = Vec::new();
    while let Some(event) = events.next().await {
        let change = match event {
            Event::Init => {
                listing.clear();
                continue;
            }
            Event::InitApply(object) => {
                listing.push(object);
                continue;
            }
            Event::InitDone => Change::All(kind.clone(), std::mem::take(&mut listing)),
            Event::Apply(object) => Change::Is(kind.clone(), Box::new(object)),
            Event::Delete(object) => Change::Gone(Box::new(object)),
        };
        if changes.send(change).is_err() {
            return;
        }
    }
}

/// Builds the object reference of an event.
pub(crate) fn reference(kind: &Kind, meta: &Meta) -> k8s_openapi::api::core::v1::ObjectReference {
    ObjectRef::from_obj_with(meta, kind.resource.clone()).into()
}

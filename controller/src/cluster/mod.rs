//! The Kubernetes cluster as this controller sees it: local copies kept by watches, and writes that are
//! remembered until the copies have caught up with them.

mod client;
pub mod digest;
mod expectations;
mod kind;
pub mod labels;
mod served;
mod stores;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use kube::{
    Api, Client, ResourceExt,
    core::DynamicObject,
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use client::client;
use expectations::Expectations;
pub use expectations::Freshness;
pub use kind::Kind;
use stores::Health;
pub use stores::{CHECKSUM_ANNOTATION, Tell, Touched};
pub use write::WriteError;

/// An object with whatever fields the server sent: nothing a newer server adds is lost in a write.
pub type Object = DynamicObject;

/// The object as the JSON that builders work on.
#[must_use]
pub fn json_of(object: &Object) -> Value {
    // An object was JSON when it was read: writing it as JSON cannot fail.
    serde_json::to_value(object).unwrap_or_default()
}

/// `NAME.NAMESPACE`, as Flagger names a canary.
#[must_use]
pub fn full_name(object: &Object) -> String {
    format!(
        "{}.{}",
        object.name_any(),
        object.namespace().unwrap_or_default()
    )
}

/// Kind, namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of an object.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Local copies of everything the controller reads, and the way to write.
pub struct Cluster {
    client: Client,
    stores: BTreeMap<Kind, Store<Object>>,
    health: Arc<Health>,
    expectations: Expectations,
    /// Objects are created and replaced with `dryRun=All`.
    is_dry_run: bool,
}

impl Cluster {
    /// Starts watching every kind, in one namespace or in all. What the watches see is given to `tell`; they end with
    /// `shutdown`.
    #[must_use]
    pub fn watch(
        client: Client,
        namespace: Option<&str>,
        tell: &Tell,
        shutdown: &CancellationToken,
    ) -> Self {
        let health = Arc::new(Health::default());
        let stores = Kind::ALL
            .into_iter()
            .map(|kind| {
                let api = match namespace {
                    Some(namespace) => {
                        Api::namespaced_with(client.clone(), namespace, &kind.resource())
                    }
                    None => Api::all_with(client.clone(), &kind.resource()),
                };
                (
                    kind,
                    stores::spawn(kind, api, &health, Arc::clone(tell), shutdown.clone()),
                )
            })
            .collect();
        Self {
            client,
            stores,
            health,
            expectations: Expectations::default(),
            is_dry_run: false,
        }
    }

    /// The same cluster, where creating and replacing an object is a dry run: the API server answers as it would, and
    /// writes nothing.
    #[must_use]
    pub fn dry_run(&self) -> Self {
        Self {
            client: self.client.clone(),
            stores: self.stores.clone(),
            health: Arc::clone(&self.health),
            expectations: Expectations::default(),
            is_dry_run: true,
        }
    }

    /// Whether an object exists as far as is known: the local copy has it, or this process has just written it.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.get(key.kind, &key.namespace, &key.name).is_some() || self.expectations.has(key)
    }

    /// The client, for what is not watched (events, leases).
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kinds whose local copy cannot be trusted at present, and why; empty when all can.
    #[must_use]
    pub fn unready(&self) -> Vec<(Kind, String)> {
        self.health.unready()
    }

    /// Why the cluster does not give this controller objects of a kind that only some routers need; `None` when it
    /// does.
    #[must_use]
    pub fn unavailable(&self, kind: Kind) -> Option<String> {
        self.health.unavailable(kind)
    }

    /// The local copy of one object.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let reference = ObjectRef::new_with(name, kind.resource()).within(namespace);
        self.stores.get(&kind)?.get(&reference)
    }

    /// Local copies of every object of a kind, in all watched namespaces.
    #[must_use]
    pub fn list(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.stores.get(&kind).map(Store::state).unwrap_or_default()
    }

    /// The store of a kind, for the controller's queue.
    #[must_use]
    pub fn store(&self, kind: Kind) -> Option<Store<Object>> {
        self.stores.get(&kind).cloned()
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<Object> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }
}

//! Access to the Kubernetes cluster: local copies kept current by watches, and writes, each recorded until the local
//! copy contains it.

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
pub use kind::{Kind, Names};
use stores::Health;
pub use stores::{CHECKSUM_ANNOTATION, Notify, Touched};
pub use write::WriteError;

/// An object with all fields that the server sent, so that a write keeps fields of newer servers.
pub type Object = DynamicObject;

/// Converts an object to JSON, the input of the builders.
#[must_use]
pub fn json_of(object: &Object) -> Value {
    // The object was deserialised from JSON, so serialising it cannot fail.
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
    /// Creates a key.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Local copies of the objects that the controller reads, and methods for writing.
pub struct Cluster {
    client: Client,
    stores: BTreeMap<Kind, Store<Object>>,
    health: Arc<Health>,
    expectations: Expectations,
    /// Create and replace use `dryRun=All`.
    is_dry_run: bool,
}

impl Cluster {
    /// Starts a watch for each of `kinds`, in one namespace or in all. Changes are passed to `notify`. The watches end with
    /// `shutdown`.
    #[must_use]
    pub fn watch(
        client: Client,
        kinds: &[Kind],
        namespace: Option<&str>,
        notify: &Notify,
        shutdown: &CancellationToken,
    ) -> Self {
        let health = Arc::new(Health::of(kinds));
        let stores = kinds
            .iter()
            .map(|&kind| {
                let api = match namespace {
                    Some(namespace) => {
                        Api::namespaced_with(client.clone(), namespace, &kind.resource())
                    }
                    None => Api::all_with(client.clone(), &kind.resource()),
                };
                (
                    kind,
                    stores::spawn(kind, api, &health, Arc::clone(notify), shutdown.clone()),
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

    /// The same cluster with server-side dry runs for create and replace: the API server validates the request and
    /// persists nothing.
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

    /// Returns whether the object is in the local copy or was just written by this process.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.get(key.kind, &key.namespace, &key.name).is_some() || self.expectations.has(key)
    }

    /// The client, for kinds that are not watched (events, leases).
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kinds whose local copy is not current, each with the reason. Empty if all copies are current.
    #[must_use]
    pub fn unready(&self) -> Vec<(Kind, String)> {
        self.health.unready()
    }

    /// Why a kind that only some routers need is not available to this controller; `None` if it is available.
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

    /// The local copies of all objects of a kind, in all watched namespaces.
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

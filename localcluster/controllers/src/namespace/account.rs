//! Creates the ServiceAccount `default` in every namespace.

use std::sync::Arc;

use api_failure::ApiFailure;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use localcluster_shared::feed::{Feed, Queue};

use crate::Error;

const DEFAULT: &str = "default";

/// Dependencies of a reconciliation.
pub(crate) struct Context {
    client: Client,
    accounts: Store<ServiceAccount>,
}

impl Context {
    /// Subscribes to namespaces and their service accounts.
    pub(crate) fn new(
        client: Client,
        namespaces: &mut Feed<Namespace>,
        accounts: &mut Feed<ServiceAccount>,
        queue: &Queue<Namespace>,
    ) -> Arc<Self> {
        namespaces.enqueue(queue, |namespace| vec![ObjectRef::from_obj(namespace)]);
        accounts.enqueue(queue, |account| {
            let default = account.name_any() == DEFAULT;
            account
                .namespace()
                .filter(|_| default)
                .map(|namespace| ObjectRef::new(&namespace))
                .into_iter()
                .collect()
        });
        Arc::new(Self {
            client,
            accounts: accounts.store(),
        })
    }
}

/// Reconciles one namespace.
pub(crate) async fn reconcile(
    namespace: Arc<Namespace>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let name = namespace.name_any();
    let present = context
        .accounts
        .get(&ObjectRef::new(DEFAULT).within(&name))
        .is_some();
    if present || namespace.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(DEFAULT.into()),
            namespace: Some(name.clone()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(context.client.clone(), &name);
    match accounts
        .create(&PostParams::default(), &account)
        .await
        .map_err(ApiFailure::from)
    {
        // It exists already, or the namespace is terminating or deleted.
        Err(failure)
            if failure.is_already_exists()
                || failure.is_namespace_terminating()
                || failure.is_not_found() => {}
        other => drop(other.map_err(Error::on(&account, "create"))?),
    }
    Ok(Action::await_change())
}

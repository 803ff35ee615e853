//! Deletes the contents of a terminating namespace, then removes its finalizer.

use std::{sync::Arc, time::Duration};

use api_failure::ApiFailure;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    core::DynamicObject,
    runtime::{controller::Action, reflector::ObjectRef},
};
use localcluster_shared::feed::{Feed, Queue};

use crate::{
    Error,
    inventory::{Kinds, Meta},
};

/// Poll interval for a terminating namespace that still has contents, e.g. pods within their grace period.
const POLL: Duration = Duration::from_millis(250);
/// The finalizer in `spec` that protects the contents.
const FINALIZER: &str = "kubernetes";

/// Dependencies of a reconciliation.
pub(crate) struct Context {
    client: Client,
    kinds: Kinds,
}

impl Context {
    /// Subscribes to namespaces.
    pub(crate) fn new(
        client: Client,
        namespaces: &mut Feed<Namespace>,
        kinds: Kinds,
        queue: &Queue<Namespace>,
    ) -> Arc<Self> {
        namespaces.enqueue(queue, |namespace| vec![ObjectRef::from_obj(namespace)]);
        Arc::new(Self { client, kinds })
    }
}

/// Reconciles one namespace.
pub(crate) async fn reconcile(
    namespace: Arc<Namespace>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let finalizers = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.clone())
        .unwrap_or_default();
    let held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if namespace.metadata.deletion_timestamp.is_none() || !held {
        return Ok(Action::await_change());
    }
    let kinds = context.kinds.borrow().clone();
    if kinds.is_empty() {
        // Before the first discovery the namespace cannot be known to be empty.
        return Ok(Action::requeue(POLL));
    }
    let name = namespace.name_any();
    let mut left = 0;
    for kind in kinds.iter().filter(|kind| kind.namespaced) {
        let of_kind = kind.resource.plural.as_str();
        let metadata: Api<Meta> = kind.api(&context.client, Some(&name));
        let found = match metadata
            .list_metadata(&ListParams::default())
            .await
            .map_err(ApiFailure::from)
        {
            // The kind was removed with its CustomResourceDefinition.
            Err(failure) if failure.is_not_found() => continue,
            other => other.map_err(Error::about(of_kind, &name, "list"))?.items,
        };
        left += found.len();
        let objects: Api<DynamicObject> = kind.api(&context.client, Some(&name));
        for object in found
            .iter()
            .filter(|object| object.metadata.deletion_timestamp.is_none())
        {
            match objects
                .delete(&object.name_any(), &DeleteParams::background())
                .await
                .map_err(ApiFailure::from)
            {
                Err(failure) if failure.is_not_found() => {}
                other => {
                    drop(other.map_err(Error::about(of_kind, &object.name_any(), "delete"))?);
                }
            }
        }
    }
    if left > 0 {
        return Ok(Action::requeue(POLL));
    }
    finalize(&namespace, &context).await?;
    Ok(Action::await_change())
}

async fn finalize(namespace: &Namespace, context: &Context) -> Result<(), Error> {
    let mut freed = namespace.clone();
    if let Some(finalizers) = freed
        .spec
        .as_mut()
        .and_then(|spec| spec.finalizers.as_mut())
    {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    match namespaces
        .replace_subresource(
            "finalize",
            &namespace.name_any(),
            &PostParams::default(),
            &freed,
        )
        .await
        .map_err(ApiFailure::from)
    {
        Err(failure) if failure.is_not_found() => Ok(()),
        other => other
            .map(|_: Namespace| ())
            .map_err(Error::on(namespace, "finalize")),
    }
}

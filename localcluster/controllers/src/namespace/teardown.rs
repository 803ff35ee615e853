//! Empties a namespace that is being deleted, then lets it go.

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

/// Wait before a namespace that still has contents is looked at again (pods take their time to end).
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The finalizer in `spec` that stands for the contents.
const FINALIZER: &str = "kubernetes";

/// Everything a round needs.
pub(crate) struct Context {
    client: Client,
    kinds: Kinds,
}

impl Context {
    /// Subscribe to namespaces.
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

/// One round for one namespace.
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
        // Not discovered yet: nothing may be called empty.
        return Ok(Action::requeue(LOOK_AGAIN));
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
            // The kind went away with its definition.
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
        return Ok(Action::requeue(LOOK_AGAIN));
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

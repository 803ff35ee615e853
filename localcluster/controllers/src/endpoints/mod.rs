//! The controller of EndpointSlices and Endpoints.

mod desired;

use std::sync::Arc;

use api_failure::ApiFailure;
use k8s_openapi::api::{
    core::v1::{Endpoints, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use localcluster_shared::feed::{Feed, Queue};

use crate::Error;

/// Dependencies of a reconciliation.
pub(crate) struct Context {
    client: Client,
    pods: Store<Pod>,
    slices: Store<EndpointSlice>,
    endpoints: Store<Endpoints>,
}

impl Context {
    /// Subscribes to Services, their pods and their slices.
    pub(crate) fn new(
        client: Client,
        services: &mut Feed<Service>,
        pods: &mut Feed<Pod>,
        slices: &mut Feed<EndpointSlice>,
        endpoints: &mut Feed<Endpoints>,
        queue: &Queue<Service>,
    ) -> Arc<Self> {
        services.enqueue(queue, |service| vec![ObjectRef::from_obj(service)]);
        let known = services.store();
        pods.enqueue(queue, move |pod| {
            let of_pod = known.state_filter(|service| {
                service.namespace() == pod.namespace() && selects(service, pod)
            });
            of_pod
                .iter()
                .map(|service| ObjectRef::from_obj(&**service))
                .collect()
        });
        // Revert changes and deletions by others.
        slices.enqueue(queue, |slice| {
            let service = is_ours(slice)
                .then(|| slice.labels().get(desired::SERVICE_NAME))
                .flatten();
            service
                .map(|name| ObjectRef::new(name).within(&slice.namespace().unwrap_or_default()))
                .into_iter()
                .collect()
        });
        endpoints.enqueue(queue, |endpoints| {
            vec![
                ObjectRef::new(&endpoints.name_any())
                    .within(&endpoints.namespace().unwrap_or_default()),
            ]
        });
        Arc::new(Self {
            client,
            pods: pods.store(),
            slices: slices.store(),
            endpoints: endpoints.store(),
        })
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.labels().get(desired::MANAGED_BY).map(String::as_str) == Some(desired::MANAGER)
}

fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(name, value)| pod.labels().get(name) == Some(value))
    })
}

/// Reconciles one Service.
pub(crate) async fn reconcile(
    service: Arc<Service>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let spec = service.spec.clone().unwrap_or_default();
    let has_selector = spec
        .selector
        .as_ref()
        .is_some_and(|selector| !selector.is_empty());
    let external = spec.type_.as_deref() == Some("ExternalName");
    // The endpoints of a Service without a selector are managed by others. The slices of a deleted
    // Service are garbage-collected.
    if !has_selector || external || service.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let pods = context
        .pods
        .state_filter(|pod| pod.namespace() == service.namespace() && selects(&service, pod));
    let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
    write_slices(&service, desired::slices(&service, &pods), &context).await?;
    write_endpoints(&service, desired::endpoints(&service, &pods), &context).await?;
    Ok(Action::await_change())
}

async fn write_slices(
    service: &Service,
    desired: Vec<EndpointSlice>,
    context: &Context,
) -> Result<(), Error> {
    let api: Api<EndpointSlice> = Api::namespaced(
        context.client.clone(),
        &service.namespace().unwrap_or_default(),
    );
    let present = context.slices.state_filter(|slice| {
        slice.namespace() == service.namespace()
            && is_ours(slice)
            && slice.labels().get(desired::SERVICE_NAME) == service.metadata.name.as_ref()
    });
    for mut slice in desired.iter().cloned() {
        let same_name = present
            .iter()
            .find(|old| old.name_any() == slice.name_any());
        match same_name {
            None => {
                match api
                    .create(&PostParams::default(), &slice)
                    .await
                    .map_err(ApiFailure::from)
                {
                    // Created by an earlier reconciliation, but not in the local copy yet.
                    Err(failure) if failure.is_already_exists() => {
                        return Err(Error::Again);
                    }
                    other => drop(other.map_err(Error::on(&slice, "create"))?),
                }
            }
            Some(old) if is_same_slice(old, &slice) => {}
            Some(old) => {
                slice.metadata.resource_version = old.resource_version();
                let replaced = api
                    .replace(&slice.name_any(), &PostParams::default(), &slice)
                    .await;
                replaced.map_err(Error::on(&slice, "update"))?;
            }
        }
    }
    for old in present.iter().filter(|old| {
        !desired
            .iter()
            .any(|slice| slice.name_any() == old.name_any())
    }) {
        match api
            .delete(&old.name_any(), &DeleteParams::default())
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_not_found() => {}
            other => drop(other.map_err(Error::on(&**old, "delete"))?),
        }
    }
    Ok(())
}

fn is_same_slice(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    let ports = |slice: &EndpointSlice| slice.ports.clone().unwrap_or_default();
    old.endpoints == new.endpoints && ports(old) == ports(new) && old.labels() == new.labels()
}

async fn write_endpoints(
    service: &Service,
    mut desired: Endpoints,
    context: &Context,
) -> Result<(), Error> {
    let api: Api<Endpoints> = Api::namespaced(
        context.client.clone(),
        &service.namespace().unwrap_or_default(),
    );
    match context.endpoints.get(&ObjectRef::from_obj(&desired)) {
        None => match api
            .create(&PostParams::default(), &desired)
            .await
            .map_err(ApiFailure::from)
        {
            Err(failure) if failure.is_already_exists() => Err(Error::Again),
            other => other
                .map(|_| ())
                .map_err(Error::on(service, "create Endpoints of")),
        },
        Some(old) if old.subsets == desired.subsets && old.labels() == desired.labels() => Ok(()),
        Some(old) => {
            desired.metadata.resource_version = old.resource_version();
            let replaced = api
                .replace(&desired.name_any(), &PostParams::default(), &desired)
                .await;
            replaced
                .map(|_| ())
                .map_err(Error::on(service, "update Endpoints of"))
        }
    }
}

#[cfg(test)]
mod tests;

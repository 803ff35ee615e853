//! Connects the controllers to their feeds and runs them.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Endpoints, Namespace, Pod, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Resource,
    runtime::{
        controller::{Action, Config, Error as ControllerError, applier},
        reflector::{ObjectRef, Store},
    },
};
use localcluster_shared::{
    events::Recorder,
    feed::{Feed, Queue},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, deployment, endpoints, gc,
    inventory::{self, Catalog},
    namespace, replicaset, unsupported,
};

/// Delay before a failed reconciliation is retried.
const RETRY: Duration = Duration::from_secs(1);
/// Delay after a reconciliation on a stale local copy. The missing event is on its way.
const AGAIN: Duration = Duration::from_millis(20);

/// Runs all controllers until `shutdown`. Idle controllers make no requests besides their watches.
///
/// # Errors
/// Currently none, as all failures are retried. The type leaves room for errors during set-up.
pub async fn run(client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let mut deployments: Feed<Deployment> = Feed::new(Api::all(client.clone()));
    let mut sets: Feed<ReplicaSet> = Feed::new(Api::all(client.clone()));
    let mut pods: Feed<Pod> = Feed::new(Api::all(client.clone()));
    let mut services: Feed<Service> = Feed::new(Api::all(client.clone()));
    let mut slices: Feed<EndpointSlice> = Feed::new(Api::all(client.clone()));
    let mut old_endpoints: Feed<Endpoints> = Feed::new(Api::all(client.clone()));
    let mut namespaces: Feed<Namespace> = Feed::new(Api::all(client.clone()));
    let mut accounts: Feed<ServiceAccount> = Feed::new(Api::all(client.clone()));
    let mut definitions: Feed<CustomResourceDefinition> = Feed::new(Api::all(client.clone()));

    let (queue, work) = Queue::new();
    let context = replicaset::Context::new(client.clone(), &mut sets, &mut pods, &queue);
    let replica_sets = controller(sets.store(), work, context, replicaset::reconcile);

    let (queue, work) = Queue::new();
    let context = deployment::Context::new(
        client.clone(),
        &mut deployments,
        &mut sets,
        &mut pods,
        &queue,
    );
    let rollouts = controller(deployments.store(), work, context, deployment::reconcile);

    let (queue, work) = Queue::new();
    let context = endpoints::Context::new(
        client.clone(),
        &mut services,
        &mut pods,
        &mut slices,
        &mut old_endpoints,
        &queue,
    );
    let service_endpoints = controller(services.store(), work, context, endpoints::reconcile);

    let (queue, work) = Queue::new();
    let context =
        namespace::AccountContext::new(client.clone(), &mut namespaces, &mut accounts, &queue);
    let service_accounts = controller(namespaces.store(), work, context, namespace::ensure_account);

    let catalog = Catalog::new(client.clone(), &mut definitions);
    let (queue, work) = Queue::new();
    let context =
        namespace::TeardownContext::new(client.clone(), &mut namespaces, catalog.kinds(), &queue);
    let teardown = controller(namespaces.store(), work, context, namespace::tear_down);

    let (seen, all_objects) = mpsc::unbounded_channel();
    let inventory = inventory::watch_all(client.clone(), catalog.kinds(), seen);
    let (checked, objects) = mpsc::unbounded_channel();
    let recorder = Recorder::new(client.clone(), "localcluster", "");
    let unsupported = unsupported::run(recorder, all_objects, checked);
    let collector = gc::run(client.clone(), catalog.kinds(), objects);

    // Wait for the first list of every kind, so that no controller takes an object that is not
    // listed yet for a missing one.
    let ready: [BoxFuture<'_, _>; 8] = [
        readiness(deployments.store()),
        readiness(sets.store()),
        readiness(pods.store()),
        readiness(services.store()),
        readiness(slices.store()),
        readiness(old_endpoints.store()),
        readiness(namespaces.store()),
        readiness(accounts.store()),
    ];
    let controllers = async {
        futures::future::join_all(ready).await;
        tracing::info!("controllers started");
        futures::join!(
            replica_sets,
            rollouts,
            service_endpoints,
            service_accounts,
            teardown
        );
    };
    let feeds = async {
        futures::join!(
            deployments.run(),
            sets.run(),
            pods.run(),
            services.run(),
            slices.run(),
            old_endpoints.run(),
            namespaces.run(),
            accounts.run(),
            definitions.run(),
            catalog.run(),
        );
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = feeds => {}
        () = controllers => {}
        () = async { futures::join!(inventory, unsupported, collector); } => {}
    }
    Ok(())
}

fn readiness<K>(store: Store<K>) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    // The writer belongs to the feed, which runs as long as the controllers.
    async move { drop(store.wait_until_ready().await) }.boxed()
}

/// Reconciles the objects in `work` forever: sequentially per object, concurrently across objects.
fn controller<K, C, F>(
    store: Store<K>,
    work: UnboundedReceiverStream<ObjectRef<K>>,
    context: Arc<C>,
    reconcile: impl Fn(Arc<K>, Arc<C>) -> F + Send + 'static,
) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    C: Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let again = |_: Arc<K>, error: &Error, _: Arc<C>| {
        Action::requeue(if error.is_notable() { RETRY } else { AGAIN })
    };
    let rounds = applier(
        move |object, context| reconcile(object, context).boxed(),
        again,
        context,
        store,
        work.map(Ok::<_, std::convert::Infallible>),
        Config::default(),
    );
    rounds
        .for_each(|round| async move {
            match round {
                Err(ControllerError::ReconcilerFailed(error, object)) if error.is_notable() => {
                    tracing::warn!(%object, %error, "reconciliation failed; retrying");
                }
                // Deleted before it was reconciled.
                Err(ControllerError::ObjectNotFound(_)) | Ok(_) => {}
                Err(error) => tracing::debug!(%error),
            }
        })
        .boxed()
}

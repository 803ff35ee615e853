//! Local copies of all objects that Envoy's configuration is made from.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Namespace, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    runtime::reflector::Store,
};
use localcluster_shared::{
    problem::Problem,
    reflect::{parse, reflect},
};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    gateway_api::{self, GatewayClass, HTTPRoute},
    istio::{DestinationRule, Gateway, VirtualService},
    model::{Memory, Snapshot},
    status_writer::StatusStores,
};

/// The copies.
#[derive(Debug)]
pub(crate) struct Stores {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    pods: Store<Pod>,
    namespaces: Store<Namespace>,
    // Custom objects are parsed one by one: an object that does not fit its type must not keep the others from being
    // listed.
    virtual_services: Store<DynamicObject>,
    destination_rules: Store<DynamicObject>,
    gateways: Store<DynamicObject>,
    with_status: StatusStores,
}

impl Stores {
    /// Starts the watches. They notify `changed` and end with `tasks`.
    pub(crate) fn watch(client: &Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Self {
        let mut custom = |kind: ApiResource| {
            let api = Api::all_with(client.clone(), &kind);
            reflect(api, kind, changed.clone(), tasks)
        };
        Self {
            virtual_services: custom(ApiResource::erase::<VirtualService>(&())),
            destination_rules: custom(ApiResource::erase::<DestinationRule>(&())),
            gateways: custom(ApiResource::erase::<Gateway>(&())),
            with_status: StatusStores {
                http_routes: custom(ApiResource::erase::<HTTPRoute>(&())),
                gateways: custom(ApiResource::erase::<gateway_api::Gateway>(&())),
                classes: custom(ApiResource::erase::<GatewayClass>(&())),
            },
            services: reflect(Api::all(client.clone()), (), changed.clone(), tasks),
            slices: reflect(Api::all(client.clone()), (), changed.clone(), tasks),
            pods: reflect(Api::all(client.clone()), (), changed.clone(), tasks),
            namespaces: reflect(Api::all(client.clone()), (), changed.clone(), tasks),
        }
    }

    /// Waits until every copy is complete. A configuration made from only some of the objects would send requests
    /// to the wrong pods.
    pub(crate) async fn complete(&self) {
        // Fails only at shutdown, when the watches have ended.
        let _ = tokio::join!(
            self.services.wait_until_ready(),
            self.slices.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.namespaces.wait_until_ready(),
            self.virtual_services.wait_until_ready(),
            self.destination_rules.wait_until_ready(),
            self.gateways.wait_until_ready(),
            self.with_status.http_routes.wait_until_ready(),
            self.with_status.gateways.wait_until_ready(),
            self.with_status.classes.wait_until_ready(),
        );
    }

    /// The objects whose status this mesh writes.
    pub(crate) fn with_status(&self) -> &StatusStores {
        &self.with_status
    }

    /// The current objects, and a problem for each that cannot be parsed.
    pub(crate) fn snapshot(&self, memory: Memory) -> (Snapshot, BTreeSet<Problem>) {
        let mut problems = BTreeSet::new();
        let snapshot = Snapshot {
            services: self.services.state(),
            slices: self.slices.state(),
            pods: self.pods.state(),
            virtual_services: parse(&self.virtual_services, &mut problems),
            destination_rules: parse(&self.destination_rules, &mut problems),
            gateways: parse(&self.gateways, &mut problems),
            http_routes: parse(&self.with_status.http_routes, &mut problems),
            api_gateways: parse(&self.with_status.gateways, &mut problems),
            gateway_classes: parse(&self.with_status.classes, &mut problems),
            namespaces: self.namespaces.state(),
            memory,
        };
        (snapshot, problems)
    }
}

//! Routing: the split of traffic between primary and canary.
//!
//! A new router needs its own module and one line in `ROUTERS`. Names that are not in `ROUTERS` are refused.

pub mod gateway_api;
pub mod istio;
mod merge;

use canary_engine::observed::{Presence, Weights};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    api::ServiceSpec,
    cluster::{Cluster, Kind, WriteError},
    objects::ownership::Claim,
    release::{Release, problem::Problem},
};

/// The state of the route objects of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whether the objects exist and are current, regardless of weights.
    pub presence: Presence,
    /// The current weights; `None` if there is no route.
    pub weights: Option<Weights>,
    /// Why the current route may not be in effect yet; `None` if it is in effect or if the objects do not report it.
    pub pending: Option<String>,
}

/// The Prometheus queries of the two built-in metrics.
#[derive(Debug)]
pub struct Queries {
    /// `request-success-rate`: percentage of requests to the canary with a status other than 5xx.
    pub success_rate: &'static str,
    /// `request-duration`: 99th percentile of the request duration of the canary, in milliseconds.
    pub duration: &'static str,
}

/// Splits traffic between primary and canary.
pub trait Router: Send + Sync {
    /// The kinds of the route objects. Canaries of this router need a cluster that serves all of them.
    fn kinds(&self) -> &'static [Kind];

    /// Validates `spec.service` for this router.
    fn problems(&self, spec: &ServiceSpec) -> Vec<Problem>;

    /// Fields of `spec.service` that are set but have no effect, because they apply to other routers.
    fn without_effect(&self, spec: &ServiceSpec) -> Vec<&'static str>;

    /// Kind and name of each route object of a canary.
    fn names(&self, service: &str) -> Vec<(Kind, String)>;

    /// The claim on an existing object with one of these names and without an owner, judged by its shape.
    fn claim(&self, release: &Release, kind: Kind, name: &str, existing: &Value) -> Claim;

    /// The queries of the built-in metrics, which use counters of the router's proxies or of the app.
    fn queries(&self) -> &'static Queries;

    /// Reads the state of the route objects of a canary.
    fn observe(&self, release: &Release, cluster: &Cluster) -> Route;

    /// Creates or repairs the route objects and sets the weights. Weights and repairs of the same object are one write.
    /// Does nothing if the objects are current.
    fn ensure<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Sets the weights. Does nothing if they are already set.
    fn set_weights<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// All routers by provider name. Flagger has one name for each of two versions of HTTPRoute. This controller uses `v1`
/// for both, which the Gateway API has served since 2023.
const ROUTERS: [(&str, &dyn Router); 3] = [
    ("istio", &istio::Istio),
    ("gatewayapi:v1", &gateway_api::GatewayApi),
    ("gatewayapi:v1beta1", &gateway_api::GatewayApi),
];

/// Returns whether a router of this name exists.
#[must_use]
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// The names of all routers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ROUTERS.iter().map(|(name, _)| *name).collect()
}

/// The kinds that the controller watches: the required ones, and those of all routers.
#[must_use]
pub fn watched_kinds() -> Vec<Kind> {
    let mut kinds = Kind::REQUIRED.to_vec();
    for (_, router) in ROUTERS {
        for kind in router.kinds() {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
    }
    kinds
}

/// The objects that any router makes for a Service, by kind and name.
#[must_use]
pub fn objects_of(service: &str) -> Vec<(Kind, String)> {
    let routers = ROUTERS.iter();
    routers
        .flat_map(|(_, router)| router.names(service))
        .collect()
}

/// The router of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Router> {
    ROUTERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, router)| *router)
}

/// The names of the fields whose flag is set.
fn given(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    let given = fields.iter().filter(|(_, given)| *given);
    given.map(|(field, _)| *field).collect()
}

/// Returns whether an optional list has entries.
fn has_any<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

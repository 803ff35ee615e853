//! Routing: how traffic is split between primary and canary.
//!
//! A router is one file and one line in `ROUTERS`; a name that is not in it is refused.

mod gateway_api;
mod istio;
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

/// The route objects of a canary as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whether they are as wanted, weights aside.
    pub presence: Presence,
    /// The live weights; `None` without a route.
    pub weights: Option<Weights>,
    /// Why requests may not follow the route as it is now; `None` when they do, or when the objects cannot tell.
    pub pending: Option<String>,
}

/// The queries of the two built-in metrics, for Prometheus.
#[derive(Debug)]
pub struct Queries {
    /// `request-success-rate`: percentage of requests to the canary that were not answered with 5xx.
    pub success_rate: &'static str,
    /// `request-duration`: 99th percentile of the duration of requests to the canary, in milliseconds.
    pub duration: &'static str,
}

/// Splits traffic between primary and canary.
pub trait Router: Send + Sync {
    /// The kinds of its objects; a cluster that lacks one cannot have canaries of this router.
    fn kinds(&self) -> &'static [Kind];

    /// What it cannot carry out of `spec.service`.
    fn problems(&self, spec: &ServiceSpec) -> Vec<Problem>;

    /// Fields of `spec.service` that are given, belong to another router and have no effect with this one.
    fn without_effect(&self, spec: &ServiceSpec) -> Vec<&'static str>;

    /// Its objects of a canary, by kind and name.
    fn names(&self, release: &Release) -> Vec<(Kind, String)>;

    /// Whose an object of one of these names is that nobody owns, by its shape.
    fn claim(&self, release: &Release, kind: Kind, name: &str, existing: &Value) -> Claim;

    /// The built-in metrics: what its proxies, or the app, count about the canary.
    fn queries(&self) -> &'static Queries;

    /// The route objects of a canary as they are.
    fn observe(&self, release: &Release, cluster: &Cluster) -> Route;

    /// Creates or repairs the route objects and sets the weights, in one write where they are one object. Does
    /// nothing when everything is as wanted.
    fn ensure<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Sets the weights. Does nothing when they are set.
    fn set_weights<'a>(
        &'a self,
        release: &'a Release,
        cluster: &'a Cluster,
        weights: Weights,
    ) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// Every router by the name that Canaries use. The two names of the Gateway API are Flagger's for two versions of
/// one object, which every cluster since 2023 serves as the first.
const ROUTERS: [(&str, &dyn Router); 3] = [
    ("istio", &istio::Istio),
    ("gatewayapi:v1", &gateway_api::GatewayApi),
    ("gatewayapi:v1beta1", &gateway_api::GatewayApi),
];

/// Whether there is a router of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// The names of all routers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ROUTERS.iter().map(|(name, _)| *name).collect()
}

/// The router of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Router> {
    ROUTERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, router)| *router)
}

/// The fields whose flag is set.
fn given(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    let given = fields.iter().filter(|(_, given)| *given);
    given.map(|(field, _)| *field).collect()
}

/// Whether an optional list has entries.
fn has_any<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

//! Routing: how traffic is split between primary and canary.
//!
//! A router is one file and one line in [`ROUTERS`]; a name that is not in it is refused.

mod istio;

use canary_engine::observed::{Presence, Weights};
use futures::future::BoxFuture;

use crate::{
    cluster::{Cluster, WriteError},
    release::Release,
};

/// Splits traffic between primary and canary.
pub trait Router: Send + Sync {
    /// Whether the route objects are as wanted, weights aside, and the live weights.
    fn observe(&self, release: &Release, cluster: &Cluster) -> (Presence, Option<Weights>);

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

/// Every router by the name that Canaries use.
const ROUTERS: [(&str, &dyn Router); 1] = [("istio", &istio::Istio)];

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

//! Metrics servers, one file each.
//!
//! A provider is its file and one line in `PROVIDERS`.

mod prometheus;

use std::{collections::BTreeMap, sync::Arc};

use canary_engine::question::Sample;
use futures::future::BoxFuture;

use crate::{api::MetricProviderSpec, process::http::Transport};

/// A kind of server that metrics are read from.
pub trait Provider: Send + Sync {
    /// Why a template with these settings cannot be used, and how to fix it; `None` when it can.
    fn problem(&self, settings: &MetricProviderSpec) -> Option<Unusable>;

    /// Runs a query and gives every series that has a value.
    fn query<'a>(
        &'a self,
        access: &'a Access,
        query: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Sample>, QueryError>>;
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The settings that are wrong, as the end of a sentence: `has the address "x", which is not a URL`.
    pub why: String,
    /// How to fix it.
    pub fix: &'static str,
}

/// Why a query gave no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It worked and found nothing.
    #[error("no values found")]
    NoValues,
    /// It could not be run, with the server's words.
    #[error("{0}")]
    Failed(String),
}

/// How one server is reached.
#[derive(Clone)]
pub struct Access {
    /// Makes the calls.
    pub transport: Arc<dyn Transport>,
    /// Address.
    pub address: String,
    /// Settings of the template, without the Secret.
    pub settings: MetricProviderSpec,
    /// The Secret's values by key.
    pub secret: BTreeMap<String, String>,
}

/// Every provider by the name that templates use.
const PROVIDERS: [(&str, &dyn Provider); 1] = [("prometheus", &prometheus::Prometheus)];

/// The provider of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    let found = PROVIDERS.iter().find(|(known, _)| *known == name);
    found.map(|(_, provider)| *provider)
}

/// The names of all providers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PROVIDERS.iter().map(|(name, _)| *name).collect()
}

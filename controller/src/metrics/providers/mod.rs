//! Metrics servers, one file each.
//!
//! To add a provider, add a file and one line in `PROVIDERS`.

mod prometheus;

use std::{collections::BTreeMap, sync::Arc};

use canary_engine::question::Sample;
use futures::future::BoxFuture;

use crate::{api::MetricProviderSpec, process::http::Transport};

/// A kind of metrics server.
pub trait Provider: Send + Sync {
    /// Checks the settings of a template. Returns why it cannot be used and how to fix it, or `None` if it is valid.
    fn problem(&self, settings: &MetricProviderSpec) -> Option<Unusable>;

    /// Runs a query and returns every series that has a value.
    fn query<'a>(
        &'a self,
        access: &'a Access,
        query: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Sample>, QueryError>>;
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The problem, as the predicate of a sentence: `has the address "x", which is not a URL`.
    pub why: String,
    /// How to fix it.
    pub fix: &'static str,
}

/// Why a query returned no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It succeeded, but found no values.
    #[error("no values found")]
    NoValues,
    /// It failed, with the server's message.
    #[error("{0}")]
    Failed(String),
}

/// How to reach a server.
#[derive(Clone)]
pub struct Access {
    /// Sends the requests.
    pub transport: Arc<dyn Transport>,
    /// Base URL.
    pub address: String,
    /// Settings of the template, without the Secret.
    pub settings: MetricProviderSpec,
    /// Values of the Secret by key.
    pub secret: BTreeMap<String, String>,
}

/// All providers, by the name that templates use.
const PROVIDERS: [(&str, &dyn Provider); 1] = [("prometheus", &prometheus::Prometheus)];

/// Returns the provider with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    let found = PROVIDERS.iter().find(|(known, _)| *known == name);
    found.map(|(_, provider)| *provider)
}

/// Returns the names of all providers.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PROVIDERS.iter().map(|(name, _)| *name).collect()
}

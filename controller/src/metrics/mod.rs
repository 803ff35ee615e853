//! Measuring: from a metric of the analysis to its values.
//!
//! A provider is one file and one line in `PROVIDERS`.

mod builtin;
mod providers;
pub mod template;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use canary_engine::question::{MetricAnswer, Sample};
use futures::future::BoxFuture;

use crate::{
    api::{MetricProviderSpec, MetricTemplateSpec},
    cluster::{Cluster, Kind},
    process::http::Transport,
    release::{Query, Release},
};

/// A server that metrics are read from.
pub trait MetricsProvider: Send + Sync {
    /// Runs a query and gives every series that has a value.
    fn query<'a>(&'a self, query: &'a str) -> BoxFuture<'a, Result<Vec<Sample>, QueryError>>;
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

/// How a server is reached.
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

type Connect = fn(Access) -> Box<dyn MetricsProvider>;

/// Every provider by the name that templates use.
const PROVIDERS: [(&str, Connect); 1] = [("prometheus", |access| {
    Box::new(providers::prometheus::Prometheus::new(access))
})];

/// Whether there is a provider of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    PROVIDERS.iter().any(|(known, _)| *known == name)
}

/// Measures the metric at `index`. Trouble becomes an answer with Flagger's words.
pub async fn measure(
    release: &Release,
    index: usize,
    cluster: &Cluster,
    transport: &Arc<dyn Transport>,
) -> MetricAnswer {
    let (Some(source), Some(metric)) = (
        release.metrics.get(index),
        release.canary.analysis.metrics.get(index),
    ) else {
        return MetricAnswer::Error(format!("there is no metric at index {index}"));
    };
    let name = &metric.name;
    let names = &release.query_names;
    let none = BTreeMap::new();
    let run = async |access: Access, text: &str, variables: &BTreeMap<String, String>| {
        let query = template::render(text, names, &source.interval, variables)
            .map_err(QueryError::Failed)?;
        let provider = connect(access).map_err(QueryError::Failed)?;
        provider.query(&query).await
    };
    let (result, failed) = match &source.query {
        Query::SuccessRate => {
            let query = builtin::queries(&release.canary.provider).success_rate;
            let result = run(plain_access(release, transport), query, &none).await;
            (result, "Prometheus query failed".to_owned())
        }
        Query::Duration => {
            let query = builtin::queries(&release.canary.provider).duration;
            let result = run(plain_access(release, transport), query, &none).await;
            (result, "Prometheus query failed".to_owned())
        }
        Query::Inline(query) => {
            let result = run(plain_access(release, transport), query, &none).await;
            (result, format!("Prometheus query failed for {name}"))
        }
        Query::Template {
            namespace,
            name: template,
            variables,
            spec,
        } => {
            let usable = match spec {
                Ok(spec) => template_access(namespace, spec, cluster, transport)
                    .await
                    .map(|access| (access, spec)),
                Err(why) => Err(why.clone()),
            };
            match usable {
                Ok((access, spec)) => (
                    run(access, &spec.query, variables).await,
                    format!("Metric query failed for {name}"),
                ),
                Err(why) => (
                    Err(QueryError::Failed(why)),
                    format!("Metric template {template}.{namespace} error"),
                ),
            }
        }
    };
    match result {
        Ok(samples) => MetricAnswer::Values(samples),
        Err(QueryError::NoValues) => MetricAnswer::NoData(QueryError::NoValues.to_string()),
        Err(QueryError::Failed(why)) => MetricAnswer::Error(format!("{failed}: {why}")),
    }
}

fn connect(access: Access) -> Result<Box<dyn MetricsProvider>, String> {
    let kind = access.settings.type_.clone();
    let found = PROVIDERS.iter().find(|(name, _)| *name == kind);
    match found {
        Some((_, connect)) => Ok(connect(access)),
        None => Err(format!("unknown metrics provider {kind}")),
    }
}

/// The controller's own Prometheus, or that of the Canary: no credentials.
fn plain_access(release: &Release, transport: &Arc<dyn Transport>) -> Access {
    Access {
        transport: Arc::clone(transport),
        address: release.metrics_server.clone(),
        settings: MetricProviderSpec {
            type_: "prometheus".to_owned(),
            ..MetricProviderSpec::default()
        },
        secret: BTreeMap::new(),
    }
}

/// The server of a template, with the credentials of its Secret, read when they are needed.
async fn template_access(
    namespace: &str,
    spec: &MetricTemplateSpec,
    cluster: &Cluster,
    transport: &Arc<dyn Transport>,
) -> Result<Access, String> {
    let secret = match &spec.provider.secret_ref {
        Some(reference) => read_secret(cluster, namespace, &reference.name).await?,
        None => BTreeMap::new(),
    };
    Ok(Access {
        transport: Arc::clone(transport),
        address: spec.provider.address.clone().unwrap_or_default(),
        settings: spec.provider.clone(),
        secret,
    })
}

/// The values of a Secret as text.
///
/// # Errors
/// When it does not exist or cannot be read, in words.
pub async fn read_secret(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, String>, String> {
    let found = cluster.live(Kind::Secret, namespace, name).await;
    let object = found.map_err(|error| format!("secret {name} error: {error}"))?;
    let object =
        object.ok_or_else(|| format!("secret {name} error: not found in namespace {namespace}"))?;
    let data = object.data["data"].as_object().into_iter().flatten();
    let decoded = data.filter_map(|(key, value)| {
        let bytes = STANDARD.decode(value.as_str()?).ok()?;
        Some((
            key.clone(),
            String::from_utf8_lossy(&bytes)
                .trim_end_matches('\n')
                .to_owned(),
        ))
    });
    Ok(decoded.collect())
}

//! Queries the metrics of an analysis.
//!
//! - [`providers`]: metrics servers, one file each
//! - [`template`]: queries with placeholders

pub mod providers;
pub mod template;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use canary_engine::question::MetricAnswer;

use crate::{
    api::{MetricProviderSpec, MetricTemplateSpec},
    cluster::{Cluster, Kind},
    process::http::Transport,
    release::{Query, Release},
    routing::{self, Queries},
};
use providers::{Access, QueryError};

/// Queries the metric at `index`. Failures become answers with Flagger's messages.
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
        let kind = &access.settings.type_;
        let provider = providers::find(kind)
            .ok_or_else(|| QueryError::Failed(format!("unknown metrics provider {kind}")))?;
        provider.query(&access, &query).await
    };
    let builtin = async |choose: fn(&Queries) -> &'static str| match routing::find(
        &release.canary.provider,
    ) {
        Some(router) => {
            let query = choose(router.queries());
            run(plain_access(release, transport), query, &none).await
        }
        None => Err(QueryError::Failed(format!(
            "the provider {} has no built-in metrics",
            release.canary.provider
        ))),
    };
    let (result, failed) = match &source.query {
        Query::SuccessRate => (
            builtin(|queries| queries.success_rate).await,
            "Prometheus query failed".to_owned(),
        ),
        Query::Duration => (
            builtin(|queries| queries.duration).await,
            "Prometheus query failed".to_owned(),
        ),
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

/// Access to the Prometheus server of the controller or of the Canary, without credentials.
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

/// Access to the server of a template. Credentials are read from its Secret for each query.
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

/// Reads the values of a Secret as text.
///
/// # Errors
/// A message if the Secret does not exist or cannot be read.
pub async fn read_secret(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, String>, String> {
    let found = cluster.live(Kind::SECRET, namespace, name).await;
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

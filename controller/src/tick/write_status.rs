//! Writes the status of a Canary.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{context::Context, error::ApplyError};
use crate::{
    api::CanaryStatus,
    cluster::{Cluster, Kind, Object, WriteError},
    release::status,
};

/// Patches the status of a Canary. A change of anything else since it was observed does not matter; a change of the
/// status does.
///
/// # Errors
/// When the status has changed, when the API server refuses or does not answer, or when it does not keep
/// all of the status.
pub async fn write_status(
    object: &Object,
    observed: &CanaryStatus,
    patch: Value,
    ctx: &Context,
) -> Result<(), ApplyError> {
    let written = patch_status(object, observed, &patch, &ctx.cluster).await?;
    Ok(ctx.definition.written(&patch, &written).await?)
}

async fn patch_status(
    object: &Object,
    observed: &CanaryStatus,
    patch: &Value,
    cluster: &Cluster,
) -> Result<Object, WriteError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let guarded = |version: Option<String>| json!({ "metadata": { "resourceVersion": version }, "status": patch });
    let first = guarded(object.resource_version());
    let conflict = match cluster
        .merge_status(Kind::CANARY, &namespace, &name, &first)
        .await
    {
        Err(error) if error.is_conflict() => error,
        other => return other,
    };
    match cluster.live(Kind::CANARY, &namespace, &name).await? {
        Some(live) if live.uid() == object.uid() && status::of_object(&live) == *observed => {
            let again = guarded(live.resource_version());
            cluster
                .merge_status(Kind::CANARY, &namespace, &name, &again)
                .await
        }
        _ => Err(conflict),
    }
}

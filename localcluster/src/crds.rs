//! Applies the CustomResourceDefinitions that the parts of a cluster need.

use std::time::Duration;

use anyhow::Context as _;
use api_failure::ApiFailure;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};

/// Timeout for the API server to serve a new kind.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// Applies definitions and waits until their kinds are served.
///
/// # Errors
/// The API server rejects a definition, or does not establish it in time.
pub async fn apply(
    client: Client,
    definitions: Vec<CustomResourceDefinition>,
) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let owner = PatchParams::apply("localcluster").force();
    for definition in &definitions {
        let name = definition.name_any();
        api.patch(&name, &owner, &Patch::Apply(definition))
            .await
            .map_err(ApiFailure::from)
            .with_context(|| format!("cannot apply {name}"))?;
    }
    for definition in &definitions {
        let name = definition.name_any();
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(ESTABLISHED, established)
            .await
            .with_context(|| {
                format!(
                    "{name} was not established within {} s",
                    ESTABLISHED.as_secs()
                )
            })?
            .map_err(ApiFailure::from)?;
    }
    Ok(())
}

//! The client of the Kubernetes API.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use api_failure::ApiFailure;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Creates a client from the given kubeconfig, or else from kubectl's configuration or the pod's service account.
///
/// # Errors
/// Fails if no cluster is configured or the configuration cannot be read.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .map_err(ApiFailure::from)
                .with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(ApiFailure::from)
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?
        }
        None => Config::infer().await.map_err(ApiFailure::from).context(
            "no cluster is configured; use --kubeconfig, set KUBECONFIG, or run in a pod",
        )?,
    };
    // HTTP_PROXY applies to webhooks and queries only. The API server is called directly.
    config.proxy_url = None;
    // A watch ends after less than five minutes, so one that is silent for longer hangs.
    config.read_timeout = Some(Duration::from_secs(300));
    Ok(Client::try_from(config).map_err(ApiFailure::from)?)
}

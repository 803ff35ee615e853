//! How the cluster is reached.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use api_failure::ApiFailure;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client of the cluster that the kubeconfig, the pod or kubectl's configuration names.
///
/// # Errors
/// When there is none, or it cannot be read.
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
            "no cluster is configured; give --kubeconfig, set KUBECONFIG, or run in a pod",
        )?,
    };
    // HTTP_PROXY is for webhooks and queries; the API server is called directly.
    config.proxy_url = None;
    // A watch ends by itself after less than five minutes; one that stays silent for longer hangs.
    config.read_timeout = Some(Duration::from_secs(300));
    Ok(Client::try_from(config).map_err(ApiFailure::from)?)
}

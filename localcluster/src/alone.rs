//! Runs a single part in its own process, with any conformant API server.

use std::process::ExitCode;

use anyhow::Context as _;
use api_failure::ApiFailure;
use base64::Engine as _;
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use localcluster_kubelet::ApiAccess;

use crate::{
    args::{ApiserverArgs, ClientArgs, KubeletArgs, MeshArgs, MonitoringArgs},
    block::Block,
    crds,
    parts::{Parts, signals},
    state::StateDir,
    up,
};

/// `localcluster apiserver`: only the API server, on the first free address block.
///
/// # Errors
/// The state directory is in use, or the server cannot start.
pub async fn apiserver(args: ApiserverArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let _lock = state.lock()?;
    let (block, listener) =
        Block::claim(state.remembered_block()).context("cannot listen for the API server")?;
    state.remember_block(block.0)?;
    let mut parts = Parts::new();
    parts.start_api_server(&state, block, listener).await?;
    println!(
        "https://{} with {}",
        block.api_server(),
        state.path("kubeconfig").display()
    );
    parts.until(signals).await
}

/// `localcluster controllers`
///
/// # Errors
/// The kubeconfig cannot be used, or the controllers fail.
pub async fn controllers(args: ClientArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let mut parts = Parts::new();
    parts.start_controllers(client(&args).await?);
    parts.until(signals).await
}

/// `localcluster kubelet`
///
/// # Errors
/// The kubeconfig cannot be used, or the kubelet fails.
pub async fn kubelet(args: KubeletArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let mut parts = Parts::new();
    let api = api_access(&args.client)?;
    parts.start_kubelet(
        client(&args.client).await?,
        &state,
        Block(args.block.block),
        api,
    )?;
    parts.until(signals).await
}

/// `localcluster mesh`
///
/// # Errors
/// The kubeconfig cannot be used, or the mesh fails.
pub async fn mesh(args: MeshArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let mut parts = Parts::new();
    let client = client(&args.client).await?;
    crds::apply(client.clone(), localcluster_mesh::crds()).await?;
    let ingress = up::ingress(&state, &args.ingress)?;
    println!("ingress http://{}/", ingress.address);
    let _ready = parts.start_mesh(
        client,
        &state,
        Block(args.block.block),
        &args.programs,
        ingress,
    )?;
    parts.until(signals).await
}

/// `localcluster monitoring`
///
/// # Errors
/// The kubeconfig cannot be used, or the monitoring fails.
pub async fn monitoring(args: MonitoringArgs) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let mut parts = Parts::new();
    let client = client(&args.client).await?;
    crds::apply(client.clone(), localcluster_monitoring::crds()).await?;
    let block = Block(args.block.block);
    println!("Prometheus http://{}/", block.prometheus());
    let _ready = parts.start_monitoring(client, &state, block, &args.programs)?;
    parts.until(signals).await
}

async fn client(args: &ClientArgs) -> anyhow::Result<Client> {
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(read(args)?, &options);
    let config = config.await.map_err(ApiFailure::from)?;
    Ok(Client::try_from(config).map_err(ApiFailure::from)?)
}

fn read(args: &ClientArgs) -> anyhow::Result<Kubeconfig> {
    let path = &args.kubeconfig;
    Kubeconfig::read_from(path)
        .map_err(ApiFailure::from)
        .with_context(|| format!("cannot use {}", path.display()))
}

/// The access of pods to the API server: that of this part, but without its credentials. Pods get their own tokens.
fn api_access(args: &ClientArgs) -> anyhow::Result<ApiAccess> {
    let kubeconfig = read(args)?;
    let path = args.kubeconfig.display();
    let current = kubeconfig.current_context.as_deref();
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| Some(context.name.as_str()) == current);
    let name = context
        .and_then(|context| context.context.as_ref())
        .map(|context| &context.cluster);
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|cluster| Some(&cluster.name) == name);
    let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
    let cluster =
        cluster.with_context(|| format!("{path} has no cluster for its current context"))?;
    let authority = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) => {
            let wrong =
                || format!("certificate-authority-data in {path} is not base64-encoded PEM");
            let pem = base64::engine::general_purpose::STANDARD
                .decode(data)
                .with_context(wrong)?;
            Some(String::from_utf8(pem).with_context(wrong)?)
        }
        (None, Some(file)) => {
            Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?)
        }
        (None, None) => None,
    };
    Ok(ApiAccess {
        server: cluster
            .server
            .clone()
            .with_context(|| format!("{path} has no server for its current context"))?,
        certificate_authority: authority,
    })
}

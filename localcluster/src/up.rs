//! `localcluster up`: all parts in one process.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use crate::{
    args::{IngressArgs, ProgramArgs, UpArgs},
    block::Block,
    crds,
    parts::{self, Ingress, Parts},
    report::step,
    state::{Description, Error, StateDir, write_atomically},
};

/// Timeout for Envoy and Prometheus to become ready.
const READY: Duration = Duration::from_secs(30);

/// Runs a complete cluster until a signal arrives or a part fails.
///
/// A second `up` in the same directory reports the running cluster and succeeds.
///
/// # Errors
/// A part cannot start, or has failed.
pub async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let signals = parts::signals()?;
    let state = StateDir::open(&args.state.state_dir)?;
    let _lock = match state.lock() {
        Err(Error::Running { pid, .. }) => {
            println!(
                "the cluster already runs in {} (process {pid})",
                state.root().display()
            );
            return Ok(ExitCode::SUCCESS);
        }
        other => other?,
    };
    // A cluster that was killed leaves its description behind.
    state.forget_description()?;
    let started = Instant::now();
    let (block, listener) =
        Block::claim(state.remembered_block()).context("cannot listen for the API server")?;
    state.remember_block(block.0)?;
    let ingress = ingress(&state, &args.ingress)?;

    let mut parts = Parts::new();
    let outcome = tokio::select! {
        result = run(&mut parts, &state, block, listener, ingress, &args.programs, started) => result,
        () = signals => Ok(()),
    };
    println!("stopping");
    let forgotten = state.forget_description();
    parts.stop().await;
    outcome
        .and(forgotten.map_err(Into::into))
        .map(|()| ExitCode::SUCCESS)
}

async fn run(
    parts: &mut Parts,
    state: &StateDir,
    block: Block,
    listener: TcpListener,
    ingress: Ingress,
    programs: &ProgramArgs,
    started: Instant,
) -> anyhow::Result<()> {
    let address = ingress.address;
    let title = format!("API server https://{}", block.api_server());
    let (client, api) = step(&title, parts.start_api_server(state, block, listener)).await?;
    let definitions = [localcluster_mesh::crds(), localcluster_monitoring::crds()].concat();
    step(
        "custom resource definitions",
        crds::apply(client.clone(), definitions),
    )
    .await?;
    parts.start_controllers(client.clone());
    parts.start_kubelet(client.clone(), state, block, api)?;
    let envoy = parts.start_mesh(client.clone(), state, block, programs, ingress)?;
    let prometheus = parts.start_monitoring(client, state, block, programs)?;
    ready(parts, &format!("Envoy, ingress http://{address}"), envoy).await?;
    ready(
        parts,
        &format!("Prometheus http://{}", block.prometheus()),
        prometheus,
    )
    .await?;
    state.describe(&describe(state, block, address))?;
    println!("ready after {:.2} s", started.elapsed().as_secs_f64());
    println!("export KUBECONFIG={}", state.path("kubeconfig").display());
    parts.first_to_end().await
}

/// Waits until `is_ready` is true or a part ends.
async fn ready(
    parts: &mut Parts,
    title: &str,
    mut is_ready: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let turns_true = async {
        let ready = is_ready.wait_for(|ready| *ready);
        match tokio::time::timeout(READY, ready).await {
            Ok(Ok(_)) => Ok(()),
            // The part has ended. Its own error, which explains why, follows.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => bail!("{title}: not ready after {} s", READY.as_secs()),
        }
    };
    step(title, async {
        tokio::select! {
            result = turns_true => result,
            ended = parts.first_to_end() => ended,
        }
    })
    .await
}

fn describe(state: &StateDir, block: Block, ingress: SocketAddr) -> Description {
    Description {
        pid: std::process::id().to_string(),
        block: block.0.to_string(),
        api_server: format!("https://{}", block.api_server()),
        kubeconfig: state.path("kubeconfig").display().to_string(),
        ingress: format!("http://{ingress}/"),
        proxy: format!("http://{}", block.proxy()),
        envoy_admin: format!("http://{}/", block.envoy_admin()),
        prometheus: format!("http://{}/", block.prometheus()),
    }
}

/// The ingress to use. For port 0 a free port is selected, which the cluster keeps.
///
/// The address is checked here, because Envoy silently shares a port with other processes that allow it.
///
/// # Errors
/// Another process listens on the address.
pub fn ingress(state: &StateDir, args: &IngressArgs) -> anyhow::Result<Ingress> {
    let address = ingress_address(state, args.ingress)?;
    Ok(Ingress {
        address,
        default: args.ingress_default.clone(),
    })
}

fn ingress_address(state: &StateDir, requested: SocketAddr) -> anyhow::Result<SocketAddr> {
    let file = state.path("ingress");
    let remembered = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if requested.port() == 0
        && let Some(remembered) = remembered
        && TcpListener::bind(remembered).is_ok()
    {
        return Ok(remembered);
    }
    let listener = TcpListener::bind(requested).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "something else listens on {requested}; choose another address with --ingress (run.sh: INGRESS=127.0.0.1:8081, or auto)"
        ),
        _ => anyhow::Error::new(error).context(format!("cannot listen on {requested}")),
    })?;
    let address = listener.local_addr()?;
    write_atomically(&file, &format!("{address}\n"))?;
    Ok(address)
}

//! `canary-controller run`: runs the controller until SIGINT or SIGTERM.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::args::RunArgs;
use crate::{
    cluster::client,
    controller::{Controller, Parts},
    process::{clock::Clock, http::Network, lease::Times, serve::serve},
    routing,
};

/// Runs the controller until SIGINT or SIGTERM.
///
/// # Errors
/// If it cannot start, or if the Lease is lost.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let settings = args.settings();
    if !routing::is_known(&settings.mesh_provider) {
        let known = routing::names().join(", ");
        bail!(
            "--mesh-provider: \"{}\" is unknown; use one of: {known}",
            settings.mesh_provider
        );
    }
    let client = client(args.kubeconfig.as_deref()).await?;
    let listener = TcpListener::bind((args.bind, args.port))
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}:{}; choose another --port or --bind",
                args.bind, args.port
            )
        })?;
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty());
    let instance = format!(
        "{}_{}",
        host.as_deref().unwrap_or("canary-controller"),
        uuid::Uuid::new_v4()
    );
    let election_namespace = args
        .watched_namespace()
        .unwrap_or(&args.leader_election_namespace)
        .to_owned();
    let controller = Controller::build(Parts {
        client,
        namespace: args.watched_namespace().map(str::to_owned),
        settings,
        clock: Clock::system(),
        transport: Arc::new(Network::default()),
        instance,
        election: args
            .enable_leader_election
            .then(|| (election_namespace, Times::of(args.leader_election_duration))),
    })?;
    let address = listener.local_addr()?;
    info!(version = env!("CARGO_PKG_VERSION"), %address, "starting canary-controller");

    let shutdown = CancellationToken::new();
    let endpoints = controller.endpoints(shutdown.clone());
    let mut served = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(listener, endpoints, shutdown).await {
                error!(%error, "the HTTP server failed");
            }
        })
    };
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            termination_signal().await;
            info!("shutting down");
            shutdown.cancel();
        }
    });
    controller.run(shutdown.clone()).await?;
    // Streams have ended and other responses are short, but a client that does not read must not delay the exit.
    if tokio::time::timeout(Duration::from_secs(1), &mut served)
        .await
        .is_err()
    {
        served.abort();
    }
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
async fn termination_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}

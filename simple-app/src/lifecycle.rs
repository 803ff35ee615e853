//! Start, drain and stop.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::Config;
use crate::metrics::Metrics;
use crate::request_log::RequestLog;
use crate::router::{self, App};

/// Serves until SIGTERM or SIGINT, then drains: readiness fails at once, and responses have `Connection: close` for the drain
/// delay. After that the app stops listening and waits for requests in flight. A second signal skips the rest of the drain
/// delay.
///
/// # Errors
/// A port is in use, or serving fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let (log, log_writer) =
        RequestLog::start(std::io::stdout()).context("cannot start the request log")?;
    let app = Arc::new(App {
        version: config.version.clone(),
        faults: config.faults(),
        metrics: Metrics::new().context("cannot register the metrics")?,
        log,
        requests: AtomicU64::new(0),
        draining: AtomicBool::new(false),
    });
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let app_port = listen(config.bind_address, config.port, "--port or PORT").await?;
    let metrics_port = listen(
        config.bind_address,
        config.metrics_port,
        "--metrics-port or METRICS_PORT",
    )
    .await?;
    eprintln!(
        "simple-app {} listens on http://{}/ and http://{}/metrics",
        app.version,
        app_port.local_addr()?,
        metrics_port.local_addr()?
    );

    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(serve(
        app_port,
        router::app(Arc::clone(&app)),
        stopped.clone(),
    ));
    let scraping = tokio::spawn(serve(
        metrics_port,
        router::metrics(Arc::clone(&app)),
        stopped,
    ));

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    app.draining.store(true, Ordering::Relaxed);
    eprintln!(
        "simple-app {} is draining for {:?}",
        app.version, config.drain_delay
    );
    tokio::select! {
        () = tokio::time::sleep(config.drain_delay) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    serving.await.context("the app's server ended early")??;
    scraping.await.context("the metrics server ended early")??;
    log_writer.finish();
    Ok(())
}

async fn listen(address: IpAddr, port: u16, set_by: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with {set_by}"))
}

async fn serve(
    listener: TcpListener,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // Responses are small and complete, so each is sent at once.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone, which also means stop.
            let _ = stopped.wait_for(|stop| *stop).await;
        })
        .await
}

//! The server's life: listening, serving, stopping.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::config::Config;
use super::gates::{ApiServer, ConfigMap, Gates};
use super::job::Rules;
use super::metrics::Metrics;
use super::router::{Service, routes};
use super::tasks::{Limits, Tasks};
use crate::plan::{Proxies, TargetPolicy};

/// Maximum size of a request's head, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;
/// Maximum number of open connections; more wait in the backlog.
const CONNECTIONS: usize = 1024;
/// Time limit for open requests and cancelled load tests when the server stops.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Time limit for threads that are still busy after that. A name lookup can block one, and nothing interrupts it.
const LAST_TIME: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, then cancels the running tasks.
///
/// # Errors
/// The port is in use, the gates cannot be read, or the runtime cannot start.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    crate::engine::raise_descriptor_limit();
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal());
    tracing_subscriber::registry()
        .with(lines.with_filter(log_filter()?))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    run_on(runtime, serve(config))
}

/// Runs `work` to its end. Threads that are busy after [`LAST_TIME`] are abandoned; dropping the runtime would wait for them.
fn run_on<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_TIME);
    result
}

/// The filter in `RUST_LOG`, such as `debug` or `info,loadtester=debug`. `EnvFilter` would add a regular expression engine to
/// the program.
fn log_filter() -> anyhow::Result<Targets> {
    match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => text
            .parse()
            .with_context(|| format!("RUST_LOG is `{text}`: write a level, or TARGET=LEVEL")),
        _ => Ok(Targets::new().with_default(LevelFilter::INFO)),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let metrics = Metrics::new().context("cannot register the metrics")?;
    let limits = Limits {
        tasks: config.max_tasks,
        rate: config.max_rate,
        workers: config.max_workers,
        timeout: config.timeout,
    };
    let tasks = Tasks::new(limits, metrics.clone());
    let service = Service {
        tasks: Arc::clone(&tasks),
        gates: gates(&config).await?,
        rules: Rules {
            targets: Arc::new(TargetPolicy::new(config.allow_target)),
            programs: config.allow_exec,
            proxies: Proxies::from_environment(),
        },
        metrics,
        namespaces: config.namespace_regexp,
        token: config.token,
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let address = SocketAddr::new(config.bind, config.port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another with --port or PORT")
    })?;
    info!(
        "Starting load tester v{} API on {}",
        env!("CARGO_PKG_VERSION"),
        listener.local_addr()?
    );

    let connections = GracefulShutdown::new();
    let routes = routes(Arc::new(service));
    tokio::select! {
        () = accept(&listener, &routes, &connections, config.head_timeout) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(listener);
    let cancelled = tasks.stop();
    info!("stopping, cancelling {cancelled} running tasks");
    let stopped = async {
        connections.shutdown().await;
        while tasks.running() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(STOP_TIME, stopped).await.is_err() {
        warn!("some requests or tasks did not end within {STOP_TIME:?}");
    }
    Ok(())
}

/// The gates, in the place that the settings name.
async fn gates(config: &Config) -> anyhow::Result<Gates> {
    if let Some(name) = &config.gates_configmap {
        let api_server = ApiServer::of_pod(config.service_account_dir.clone())
            .context("--gates-configmap needs the API server")?;
        let gates = Gates::ConfigMap(ConfigMap::new(api_server, name.clone()));
        // Load tests can run without gates, and the ConfigMap may exist by the time a gate is checked.
        if let Err(error) = gates.all().await {
            warn!("cannot read the gates yet: {error}");
        }
        return Ok(gates);
    }
    match &config.gates_file {
        Some(file) => Ok(Gates::in_file(file.clone())?),
        None => Ok(Gates::in_memory()),
    }
}

/// Accepts connections without end. The head of a request is limited in time and size, so that no client keeps a
/// connection by sending slowly.
async fn accept(
    listener: &TcpListener,
    routes: &Router,
    connections: &GracefulShutdown,
    head_timeout: Duration,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(LARGEST_HEAD);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly the process is out of descriptors, and other connections must end first.
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let routes = routes.clone().layer(axum::Extension(ConnectInfo(from)));
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        let watched = connections.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = watched.await {
                debug!("connection from {from} ended: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_blocked_thread_does_not_keep_the_server_from_stopping() {
        let (unblock, blocked) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            let result = run_on(runtime, async {
                let (started, start) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || {
                    let _ = started.send(());
                    let _ = blocked.recv();
                });
                start.await
            });
            ended.send(result).unwrap();
        });
        let result = end.recv_timeout(Duration::from_secs(30));
        drop(unblock);
        assert_eq!(result, Ok(Ok(())));
    }
}

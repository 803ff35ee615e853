//! The Prometheus process: its command line, its readiness and the reload of its configuration.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use localcluster_shared::{
    child,
    http::{self, Method},
    process::{Launch, RestartPolicy, Spawner, Supervisor},
    program,
};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Error};

/// A supervised Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    supervisor: Supervisor,
    listen: SocketAddr,
    log: PathBuf,
    /// True while Prometheus serves queries.
    pub(crate) ready: watch::Receiver<bool>,
}

/// Checks the program and its address before Prometheus starts, so that a failure gets a clear error.
pub(crate) async fn preflight(config: &Config) -> Result<PathBuf, Error> {
    let program = program::find("Prometheus", "PROMETHEUS", &config.prometheus)?;
    if !config.listen.ip().is_loopback() {
        return Err(Error::Exposed(config.listen));
    }
    program::ensure_free(config.listen, "Prometheus").await?;
    Ok(program)
}

impl Prometheus {
    /// Starts Prometheus with `configuration` and restarts it whenever it ends, until `shutdown`.
    pub(crate) fn start(
        program: &Path,
        config: &Config,
        state_dir: &Path,
        configuration: &Path,
        shutdown: CancellationToken,
    ) -> Self {
        let flag = |name: &str, path: &Path| {
            let mut flag = std::ffi::OsString::from(format!("--{name}="));
            flag.push(path);
            flag
        };
        let launch = Launch {
            program: program.to_owned(),
            args: vec![
                flag("config.file", configuration),
                flag("storage.tsdb.path", &state_dir.join("data")),
                format!("--web.listen-address={}", config.listen).into(),
                // A reload over HTTP returns the error in a configuration; SIGHUP does not.
                "--web.enable-lifecycle".into(),
                "--storage.tsdb.retention.time=15d".into(),
                "--storage.tsdb.retention.size=1GB".into(),
                "--log.level=warn".into(),
            ],
            env: Vec::new(),
            cwd: state_dir.to_owned(),
        };
        let policy = RestartPolicy {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            // Prometheus writes its samples to disk when it stops.
            grace: Duration::from_secs(15),
            ..RestartPolicy::default()
        };
        let spawner = Spawner::new(config.shim.clone());
        let log = state_dir.join("prometheus.log");
        let supervisor =
            Supervisor::start("prometheus", spawner, launch, log.clone(), policy, shutdown);
        let listen = config.listen;
        let ready = child::readiness(supervisor.state(), move || is_ready(listen));
        Self {
            supervisor,
            listen,
            log,
            ready,
        }
    }

    /// Reloads the configuration. The inner error is Prometheus' message if it rejects the configuration; the old one
    /// then stays in effect.
    pub(crate) async fn reload(&self) -> io::Result<Result<(), String>> {
        let (status, body) = http::request(Method::POST, self.listen, "/-/reload").await?;
        Ok(if status.is_success() {
            Ok(())
        } else {
            let body = String::from_utf8_lossy(&body);
            let message = body.trim().trim_start_matches("failed to reload config: ");
            if message.starts_with("one or more errors occurred") {
                return Ok(Err(format!("see {}", self.log.display())));
            }
            Err(message.chars().take(300).collect())
        })
    }

    /// Checks a query. Returns Prometheus' message if the query is invalid. (A reload writes this message only to the
    /// log.)
    pub(crate) async fn check_query(&self, query: &str) -> io::Result<Option<String>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/format_query?query={encoded}");
        let (status, body) = http::request(Method::GET, self.listen, &path).await?;
        if status.is_success() {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
        let message = answer["error"].as_str().unwrap_or("no reason given");
        Ok(Some(
            message
                .trim_start_matches("invalid parameter \"query\": ")
                .to_owned(),
        ))
    }

    /// Waits until Prometheus has ended after shutdown.
    pub(crate) async fn stopped(self) {
        self.supervisor.stopped().await;
    }
}

async fn is_ready(listen: SocketAddr) -> bool {
    let answer = http::request(Method::GET, listen, "/-/ready").await;
    answer.is_ok_and(|(status, _)| status.is_success())
}

/// Replaces a file atomically: writes a temporary file next to `path` and renames it. Returns true if the content is
/// new.
pub(crate) fn replace(path: &Path, content: &Value) -> Result<bool, Error> {
    let failed = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let content = match path.extension() {
        Some(extension) if extension == "json" => content.to_string(),
        _ => serde_yaml::to_string(content).map_err(|error| failed(io::Error::other(error)))?,
    };
    if fs::read_to_string(path).is_ok_and(|before| before == content) {
        return Ok(false);
    }
    let draft = path.with_extension("draft");
    fs::write(&draft, content)
        .and_then(|()| fs::rename(&draft, path))
        .map_err(failed)?;
    Ok(true)
}

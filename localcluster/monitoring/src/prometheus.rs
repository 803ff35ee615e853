//! The Prometheus process: its command line, whether it answers, and how it takes a configuration.

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
    /// True while it answers queries.
    pub(crate) ready: watch::Receiver<bool>,
}

/// Check what can be checked before Prometheus is started, so that the reason is told in words.
pub(crate) async fn preflight(config: &Config) -> Result<PathBuf, Error> {
    let program = program::find("Prometheus", "PROMETHEUS", &config.prometheus)?;
    if !config.listen.ip().is_loopback() {
        return Err(Error::Exposed(config.listen));
    }
    program::ensure_free(config.listen, "Prometheus").await?;
    Ok(program)
}

impl Prometheus {
    /// Start Prometheus on `configuration`, and again whenever it ends, until `shutdown`.
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
                // A reload answers what is wrong with a configuration; a signal would not.
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
            // It writes out its samples.
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

    /// Read the configuration again. The error is what Prometheus has against it, and the one before
    /// stays in force.
    pub(crate) async fn reload(&self) -> io::Result<Result<(), String>> {
        let (status, body) = http::request(Method::POST, self.listen, "/-/reload").await?;
        Ok(if status.is_success() {
            Ok(())
        } else {
            let body = String::from_utf8_lossy(&body);
            let words = body.trim().trim_start_matches("failed to reload config: ");
            if words.starts_with("one or more errors occurred") {
                return Ok(Err(format!("the reason is in {}", self.log.display())));
            }
            Err(words.chars().take(300).collect())
        })
    }

    /// What Prometheus has against a query, which a reload says only in its log.
    pub(crate) async fn mistake_in(&self, query: &str) -> io::Result<Option<String>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/format_query?query={encoded}");
        let (status, body) = http::request(Method::GET, self.listen, &path).await?;
        if status.is_success() {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
        let words = answer["error"].as_str().unwrap_or("no reason given");
        Ok(Some(
            words
                .trim_start_matches("invalid parameter \"query\": ")
                .to_owned(),
        ))
    }

    /// Wait until Prometheus has ended after shutdown.
    pub(crate) async fn stopped(self) {
        self.supervisor.stopped().await;
    }
}

async fn is_ready(listen: SocketAddr) -> bool {
    let answer = http::request(Method::GET, listen, "/-/ready").await;
    answer.is_ok_and(|(status, _)| status.is_success())
}

/// Write beside `path` and move it there. Returns whether the content is new.
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

//! The Envoy process: its command line and its liveness.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use localcluster_shared::{
    child,
    process::{Launch, RestartPolicy, Spawner, Supervisor},
    program,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    admin,
    config::{Config, Error},
    deliver::replace,
    render::{Settings, bootstrap},
};

/// Number of Envoy's worker threads. Two handle tens of thousands of requests per second.
const WORKERS: &str = "2";

/// Name of Envoy's log file in the state folder.
pub(crate) const LOG: &str = "envoy.log";

/// A supervised Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    supervisor: Supervisor,
    /// True while Envoy serves requests.
    pub(crate) live: watch::Receiver<bool>,
}

/// Checks the program and its addresses before Envoy starts, so that a failure gets a clear error.
pub(crate) async fn preflight(config: &Config) -> Result<PathBuf, Error> {
    let program = program::find("Envoy", "ENVOY", &config.envoy)?;
    if !config.admin.ip().is_loopback() {
        return Err(Error::Exposed(config.admin));
    }
    program::ensure_free(config.admin, "Envoy's admin interface").await?;
    program::ensure_free(config.proxy, "the mesh's forward proxy").await?;
    if let Some(ingress) = config.ingress {
        program::ensure_free(ingress, "the ingress").await?;
    }
    Ok(program)
}

impl Envoy {
    /// Starts Envoy on the files in `settings.folder` and restarts it whenever it ends, until `shutdown`.
    pub(crate) fn start(
        program: &Path,
        config: &Config,
        settings: &Settings,
        state_dir: &Path,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let file = state_dir.join("bootstrap.json");
        replace(&file, &bootstrap(settings))?;
        let log = state_dir.join(LOG);
        let launch = Launch {
            program: program.to_owned(),
            args: [
                "--config-path".as_ref(),
                file.as_os_str(),
                "--concurrency".as_ref(),
                WORKERS.as_ref(),
                // Hot restart uses shared memory whose id another Envoy may already use.
                "--disable-hot-restart".as_ref(),
                "--log-level".as_ref(),
                "warning".as_ref(),
            ]
            .map(OsStr::to_owned)
            .into(),
            env: Vec::new(),
            cwd: state_dir.to_owned(),
        };
        let policy = RestartPolicy {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            ..RestartPolicy::default()
        };
        let spawner = Spawner::new(config.shim.clone());
        let supervisor = Supervisor::start("envoy", spawner, launch, log, policy, shutdown);
        let admin = config.admin;
        let live = child::readiness(supervisor.state(), move || admin::is_live(admin));
        Ok(Self { supervisor, live })
    }

    /// Waits until Envoy has ended after shutdown.
    pub(crate) async fn stopped(self) {
        self.supervisor.stopped().await;
    }
}

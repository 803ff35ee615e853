//! Writes Envoy's files: only those that changed, each replaced atomically, in an order in which no route ever
//! refers to a cluster that is missing.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    admin,
    config::Error,
    render::{INGRESS, OUTBOUND, Resources, discovery_response},
};

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const ENDPOINTS: &str = "envoy.config.endpoint.v3.ClusterLoadAssignment";
const ROUTES: &str = "envoy.config.route.v3.RouteConfiguration";

/// How long to wait for Envoy to accept or reject a file. It normally takes milliseconds. On a machine under load it
/// may take longer; the delivery then continues without a confirmation.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between reads of the statistics.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Envoy's verdict on a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is in effect.
    Accepted,
    /// Routes were rejected; Envoy keeps the old ones.
    RoutesRejected,
    /// Clusters were rejected; Envoy keeps the old ones.
    ClustersRejected,
    /// Envoy does not run, or has not confirmed the files in time.
    Unknown,
}

/// The files that Envoy reads.
#[derive(Debug)]
pub(crate) struct Delivery {
    folder: PathBuf,
    admin: SocketAddr,
    version: u64,
    /// The resources and version last written, by file name.
    written: BTreeMap<String, (Vec<Value>, u64)>,
    /// The clusters last written, by name.
    clusters: BTreeMap<String, Value>,
}

impl Delivery {
    /// Empties the folder: files of an earlier run may refer to pods that no longer exist.
    pub(crate) fn open(folder: PathBuf, admin: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Write {
            path: folder.clone(),
            source,
        };
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir_all(folder.join("endpoints")).map_err(failed)?,
        }
        Ok(Self {
            folder,
            admin,
            version: 0,
            written: BTreeMap::new(),
            clusters: BTreeMap::new(),
        })
    }

    /// Writes `resources` as Envoy's configuration. `live` means that Envoy runs and can confirm it.
    pub(crate) async fn deliver(
        &mut self,
        resources: &Resources,
        live: bool,
    ) -> Result<Verdict, Error> {
        for (file, endpoints) in &resources.endpoints {
            self.write(
                &format!("endpoints/{file}"),
                ENDPOINTS,
                vec![endpoints.clone()],
            )?;
        }
        // First the clusters of both the old and the new routes, then the routes, then only the new clusters.
        let mut all = resources.clusters.clone();
        for (name, cluster) in &self.clusters {
            all.entry(name.clone()).or_insert_with(|| cluster.clone());
        }
        let before = if live {
            admin::sources(self.admin).await.ok()
        } else {
            None
        };
        // Envoy may not have confirmed an earlier file yet.
        let pending = before.as_ref().is_some_and(|before| {
            let mut names = resources.routes.keys();
            !names.all(|name| self.is_in_force(name, before))
        });
        let mut verdict = Verdict::Accepted;
        if self.write("clusters.json", CLUSTER, all.values().cloned().collect())? {
            verdict = self.confirm(&["clusters"], before.as_ref()).await;
        }
        let mut changed = false;
        for (name, routes) in &resources.routes {
            changed |= self.write(&format!("{name}.json"), ROUTES, vec![routes.clone()])?;
        }
        if changed && verdict != Verdict::ClustersRejected {
            let names: Vec<&str> = resources.routes.keys().copied().collect();
            verdict = self.confirm(&names, before.as_ref()).await;
        } else if pending && verdict == Verdict::Accepted {
            verdict = Verdict::Unknown;
        }
        // If the new routes are rejected, the old ones stay in effect, and they may need every old cluster.
        if verdict == Verdict::RoutesRejected {
            self.clusters = all;
        } else {
            let clusters = resources.clusters.values().cloned().collect();
            self.write("clusters.json", CLUSTER, clusters)?;
            self.clusters = resources.clusters.clone();
            self.remove_endpoints(resources);
        }
        Ok(verdict)
    }

    /// The verdict of a freshly started Envoy on the files it found.
    pub(crate) async fn verify(&self) -> Verdict {
        let names = ["clusters", OUTBOUND, INGRESS];
        let is_written = |name: &&str| self.written.contains_key(&format!("{name}.json"));
        let names: Vec<&str> = names.into_iter().filter(is_written).collect();
        self.confirm(&names, Some(&admin::Sources::default())).await
    }

    /// Waits until Envoy accepts or rejects the named files. `before` is its state before they were written.
    async fn confirm(&self, names: &[&str], before: Option<&admin::Sources>) -> Verdict {
        let Some(before) = before else {
            return Verdict::Unknown;
        };
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        while Instant::now() < deadline {
            let Ok(now) = admin::sources(self.admin).await else {
                return Verdict::Unknown;
            };
            let is_rejected = |name: &&str| now.get(name).rejected > before.get(name).rejected;
            if let Some(name) = names.iter().copied().find(|name| is_rejected(name)) {
                return match name {
                    "clusters" => Verdict::ClustersRejected,
                    _ => Verdict::RoutesRejected,
                };
            }
            let is_in_force = |name: &&str| self.is_in_force(name, &now);
            if names.iter().all(is_in_force) && now.warming == 0 {
                return Verdict::Accepted;
            }
            sleep(POLL_INTERVAL).await;
        }
        tracing::warn!(
            ?names,
            "Envoy has neither accepted nor rejected these files in time"
        );
        Verdict::Unknown
    }

    /// True if Envoy uses the last written version of the named file.
    fn is_in_force(&self, name: &str, now: &admin::Sources) -> bool {
        let written = self.written.get(&format!("{name}.json"));
        written.is_some_and(|(_, version)| now.get(name).version == version.to_string())
    }

    /// Replaces a file if its resources changed. Returns true if they did.
    fn write(&mut self, file: &str, type_name: &str, resources: Vec<Value>) -> Result<bool, Error> {
        if self
            .written
            .get(file)
            .is_some_and(|(before, _)| *before == resources)
        {
            return Ok(false);
        }
        self.version += 1;
        let version = self.version.to_string();
        let content = discovery_response(&version, type_name, resources.iter().cloned());
        replace(&self.folder.join(file), &content)?;
        self.written
            .insert(file.to_owned(), (resources, self.version));
        Ok(true)
    }

    fn remove_endpoints(&mut self, resources: &Resources) {
        let folder = &self.folder;
        self.written.retain(|file, _| {
            let keep = file
                .strip_prefix("endpoints/")
                .is_none_or(|name| resources.endpoints.contains_key(name));
            if !keep && let Err(error) = fs::remove_file(folder.join(file)) {
                tracing::warn!(file, %error, "cannot remove a file of old endpoints");
            }
            keep
        });
    }
}

/// Writes a temporary file next to `path` and renames it: Envoy watches for the rename and never reads a partial file.
pub(crate) fn replace(path: &Path, content: &Value) -> Result<(), Error> {
    let draft = path.with_extension("draft");
    fs::write(&draft, content.to_string())
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
}

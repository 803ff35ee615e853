//! Hands Envoy its files: only those that changed, each replaced in one step, in an order in which no
//! request meets a route whose cluster is not there yet or no longer.

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

/// How long Envoy may take to say what it makes of a file. It takes milliseconds; a machine under load
/// may be slower, and then the delivery goes on without an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between looks at the statistics.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What Envoy made of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is in force.
    Accepted,
    /// Routes were refused; Envoy keeps the ones before.
    RoutesRejected,
    /// Clusters were refused; Envoy keeps the ones before.
    ClustersRejected,
    /// Envoy does not run, or gave no answer in time.
    Unknown,
}

/// The files as Envoy has them.
#[derive(Debug)]
pub(crate) struct Delivery {
    folder: PathBuf,
    admin: SocketAddr,
    version: u64,
    /// Resources and version last written, by file name.
    written: BTreeMap<String, (Vec<Value>, u64)>,
    /// Clusters by name, as last written.
    clusters: BTreeMap<String, Value>,
}

impl Delivery {
    /// Start with an empty folder: files of an earlier run may speak of pods that are gone.
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

    /// Make `resources` the configuration. `live`: Envoy runs and can be asked what it took.
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
        // First the clusters of both the old and the new routes, then the routes, then what is left.
        let mut all = resources.clusters.clone();
        for (name, cluster) in &self.clusters {
            all.entry(name.clone()).or_insert_with(|| cluster.clone());
        }
        let before = if live {
            admin::sources(self.admin).await.ok()
        } else {
            None
        };
        // An earlier file may still wait for Envoy's word.
        let waits = before.as_ref().is_some_and(|before| {
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
        } else if waits && verdict == Verdict::Accepted {
            verdict = Verdict::Unknown;
        }
        // Refused routes leave the old ones in force, which may need every old cluster.
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

    /// What Envoy, just started, made of the files it found.
    pub(crate) async fn verify(&self) -> Verdict {
        let names = ["clusters", OUTBOUND, INGRESS];
        let is_written = |name: &&str| self.written.contains_key(&format!("{name}.json"));
        let names: Vec<&str> = names.into_iter().filter(is_written).collect();
        self.confirm(&names, Some(&admin::Sources::default())).await
    }

    /// Wait for Envoy's word on the named files; `before` is its state before they were written.
    async fn confirm(&self, names: &[&str], before: Option<&admin::Sources>) -> Verdict {
        let Some(before) = before else {
            return Verdict::Unknown;
        };
        let deadline = Instant::now() + PATIENCE;
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
            sleep(LOOK_AGAIN).await;
        }
        tracing::warn!(?names, "Envoy has not said what it makes of its files");
        Verdict::Unknown
    }

    /// Whether Envoy uses the named file as it was last written.
    fn is_in_force(&self, name: &str, now: &admin::Sources) -> bool {
        let written = self.written.get(&format!("{name}.json"));
        written.is_some_and(|(_, version)| now.get(name).version == version.to_string())
    }

    /// Replace a file if its resources changed. Returns whether they did.
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
                tracing::warn!(file, %error, "cannot remove");
            }
            keep
        });
    }
}

/// Write beside `path` and move it there: Envoy watches for the move and never sees half a file.
pub(crate) fn replace(path: &Path, content: &Value) -> Result<(), Error> {
    let draft = path.with_extension("draft");
    fs::write(&draft, content.to_string())
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
}

//! The loop: watch, render, reload, report.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject},
    runtime::reflector::Store,
};
use localcluster_shared::{
    events::Reporter,
    problem::{ObjectId, Problem, Report},
    reflect::{parse, reflect},
};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Error},
    crd::{PodMonitor, PrometheusRule, ServiceMonitor},
    prometheus::{self, Prometheus, replace},
    rules,
    scrape::{self, Settings},
    service, targets,
};

/// Changes that arrive within this time are rendered together.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// Runs Prometheus with a configuration made from the objects behind `client`, until `shutdown`.
///
/// Apply the CustomResourceDefinitions of [`crds`](crate::crds) first. Without them monitors are not scraped and `ready`
/// is not signalled.
///
/// # Errors
/// Prometheus is not found, its address is in use, or a file cannot be written. If Prometheus dies later, it is
/// restarted.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let program = prometheus::preflight(&config).await?;
    let failed = |source| Error::Write {
        path: config.state_dir.clone(),
        source,
    };
    fs::create_dir_all(&config.state_dir).map_err(failed)?;
    // Prometheus' working directory is its state folder, so its paths must be absolute.
    let state_dir = config.state_dir.canonicalize().map_err(failed)?;
    let files = Files {
        configuration: state_dir.join("prometheus.yml"),
        targets: state_dir.join("targets.json"),
        rules: state_dir.join("rules"),
    };
    let settings = Settings {
        targets: files.targets.display().to_string(),
        rules: files.rules.join("*.yml").display().to_string(),
        envoy_admin: config.envoy_admin,
        interval: config.scrape_interval,
    };
    // Start without monitors and rules: an invalid one would keep Prometheus from starting.
    files.write_rules(BTreeMap::new())?;
    replace(
        &files.configuration,
        &scrape::render(&[], &BTreeMap::new(), &settings).0,
    )?;
    let stop = shutdown.child_token();
    let prometheus = Prometheus::start(
        &program,
        &config,
        &state_dir,
        &files.configuration,
        stop.clone(),
    );

    let changed = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(service::publish(client.clone(), config.listen));
    let mut monitoring = Monitoring {
        stores: Stores::watch(&client, &changed, &mut tasks),
        files,
        settings,
        reporter: Reporter::new(client, "localcluster-monitoring"),
        accepted: BTreeSet::new(),
        rejected: BTreeMap::new(),
        reload: false,
    };
    let served = tokio::select! {
        served = monitoring.serve(&prometheus, config.ready.as_ref(), &changed) => served,
        () = shutdown.cancelled() => Ok(()),
    };
    stop.cancel();
    prometheus.stopped().await;
    if let Some(ready) = &config.ready {
        ready.send_replace(false);
    }
    served
}

struct Files {
    configuration: PathBuf,
    targets: PathBuf,
    rules: PathBuf,
}

impl Files {
    /// Replaces the content of the rules folder by `files`. Returns true if anything changed.
    fn write_rules(&self, files: BTreeMap<String, Value>) -> Result<bool, Error> {
        let failed = |source| Error::Write {
            path: self.rules.clone(),
            source,
        };
        fs::create_dir_all(&self.rules).map_err(failed)?;
        let mut changed = false;
        for entry in fs::read_dir(&self.rules).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !files.contains_key(&*entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).map_err(failed)?;
                changed = true;
            }
        }
        for (name, content) in files {
            changed |= replace(&self.rules.join(name), &content)?;
        }
        Ok(changed)
    }
}

struct Stores {
    pods: Store<Pod>,
    // Parsed one by one: an object that does not fit its type must not keep the others from being listed.
    monitors: Store<DynamicObject>,
    service_monitors: Store<DynamicObject>,
    rules: Store<DynamicObject>,
}

impl Stores {
    fn watch(client: &Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Self {
        let mut operator = |kind: ApiResource| {
            let api = Api::all_with(client.clone(), &kind);
            reflect(api, kind, changed.clone(), tasks)
        };
        Self {
            monitors: operator(ApiResource::erase::<PodMonitor>(&())),
            service_monitors: operator(ApiResource::erase::<ServiceMonitor>(&())),
            rules: operator(ApiResource::erase::<PrometheusRule>(&())),
            pods: reflect(Api::all(client.clone()), (), changed.clone(), tasks),
        }
    }
}

/// The objects that Prometheus' configuration is made from.
struct Objects {
    monitors: Vec<Arc<PodMonitor>>,
    rules: Vec<Arc<PrometheusRule>>,
}

impl Objects {
    fn ids(&self) -> BTreeSet<ObjectId> {
        let monitors = self.monitors.iter().map(|monitor| ObjectId::of(&**monitor));
        let rules = self.rules.iter().map(|rule| ObjectId::of(&**rule));
        monitors.chain(rules).collect()
    }
}

struct Monitoring {
    stores: Stores,
    files: Files,
    settings: Settings,
    reporter: Reporter,
    /// The versions of monitors and rules that Prometheus accepted.
    accepted: BTreeSet<ObjectId>,
    /// The versions that it rejected, with its message.
    rejected: BTreeMap<ObjectId, String>,
    /// True if the files are newer than the configuration that Prometheus runs with.
    reload: bool,
}

impl Monitoring {
    async fn serve(
        &mut self,
        prometheus: &Prometheus,
        signal: Option<&watch::Sender<bool>>,
        changed: &Notify,
    ) -> Result<(), Error> {
        let mut ready = prometheus.ready.clone();
        // Existing monitors must not lose samples because they are not listed yet.
        let _ = self.stores.pods.wait_until_ready().await;
        let _ = self.stores.monitors.wait_until_ready().await;
        loop {
            let is_ready = *ready.borrow_and_update();
            self.update(is_ready.then_some(prometheus)).await?;
            if let Some(signal) = signal {
                signal.send_replace(is_ready);
            }
            tokio::select! {
                () = changed.notified() => sleep(DEBOUNCE).await,
                Ok(()) = ready.changed() => {}
            }
        }
    }

    /// Brings the files up to date, and Prometheus if it is ready.
    async fn update(&mut self, prometheus: Option<&Prometheus>) -> Result<(), Error> {
        // Prometheus watches this file and needs no reload.
        replace(
            &self.files.targets,
            &targets::render(&self.stores.pods.state()),
        )?;
        let mut problems = BTreeSet::new();
        let objects = Objects {
            monitors: parse(&self.stores.monitors, &mut problems),
            rules: parse(&self.stores.rules, &mut problems),
        };
        let present = objects.ids();
        self.rejected.retain(|id, _| present.contains(id));
        if let Some(prometheus) = prometheus {
            self.check_queries(prometheus, &objects.rules).await;
        }
        self.write(&objects)?;
        if let Some(prometheus) = prometheus
            && let Some(message) = self.load(prometheus).await
        {
            self.hold_back(prometheus, &objects, &present, &message)
                .await?;
        }
        if prometheus.is_some() && !self.reload {
            let is_accepted = |id: &ObjectId| !self.rejected.contains_key(id);
            self.accepted = present.into_iter().filter(is_accepted).collect();
        }
        problems.extend(scrape::render(&objects.monitors, &self.rejected, &self.settings).1);
        problems.extend(rules::render(&objects.rules, &self.rejected).1);
        let hint =
            "ServiceMonitors are not scraped; write a PodMonitor for the pods of the Service";
        unsupported::<ServiceMonitor>(&self.stores.service_monitors, hint, &mut problems);
        self.reporter.report(&problems);
        Ok(())
    }

    /// Rejects rules with an invalid query, with Prometheus' message.
    async fn check_queries(&mut self, prometheus: &Prometheus, rules: &[Arc<PrometheusRule>]) {
        for rule in rules {
            let id = ObjectId::of(&**rule);
            if self.accepted.contains(&id) || self.rejected.contains_key(&id) {
                continue;
            }
            for (field, query) in rules::queries(rule) {
                match prometheus.check_query(&query).await {
                    Ok(None) => {}
                    Ok(Some(message)) => {
                        self.rejected.insert(id, format!("{field}: {message}"));
                        break;
                    }
                    // Prometheus has just died. The query is checked again after its restart.
                    Err(error) => tracing::warn!(%error, "cannot check a query with Prometheus"),
                }
            }
        }
    }

    fn write(&mut self, objects: &Objects) -> Result<(), Error> {
        let (configuration, _) = scrape::render(&objects.monitors, &self.rejected, &self.settings);
        self.reload |= replace(&self.files.configuration, &configuration)?;
        let (files, _) = rules::render(&objects.rules, &self.rejected);
        self.reload |= self.files.write_rules(files)?;
        Ok(())
    }

    /// Reloads Prometheus if a file is new. Returns its message if it rejects the configuration.
    async fn load(&mut self, prometheus: &Prometheus) -> Option<String> {
        if !self.reload {
            return None;
        }
        match prometheus.reload().await {
            Ok(Ok(())) => {
                self.reload = false;
                None
            }
            Ok(Err(message)) => Some(message),
            Err(error) => {
                // Prometheus has just died. It reads the files when it restarts.
                tracing::warn!(%error, "cannot reload Prometheus");
                None
            }
        }
    }

    /// Handles a rejected configuration: withdraws all new objects, then adds them back one at a time, so that only those
    /// that Prometheus rejects stay out.
    async fn hold_back(
        &mut self,
        prometheus: &Prometheus,
        objects: &Objects,
        present: &BTreeSet<ObjectId>,
        message: &str,
    ) -> Result<(), Error> {
        let is_suspect =
            |id: &&ObjectId| !self.accepted.contains(id) && !self.rejected.contains_key(id);
        let suspects: Vec<ObjectId> = present.iter().filter(is_suspect).cloned().collect();
        let withdrawn = suspects
            .iter()
            .map(|suspect| (suspect.clone(), message.to_owned()));
        self.rejected.extend(withdrawn);
        for suspect in std::iter::once(None).chain(suspects.into_iter().map(Some)) {
            if let Some(suspect) = &suspect {
                self.rejected.remove(suspect);
            }
            self.write(objects)?;
            match (self.load(prometheus).await, suspect) {
                (None, _) => {}
                (Some(message), Some(suspect)) => drop(self.rejected.insert(suspect, message)),
                (Some(message), None) => {
                    tracing::error!("Prometheus rejects its configuration: {message}");
                    return Ok(());
                }
            }
        }
        self.write(objects)?;
        self.load(prometheus).await;
        Ok(())
    }
}

/// Reports all objects of a kind that is not supported.
fn unsupported<K: Resource<DynamicType = ()>>(
    store: &Store<DynamicObject>,
    message: &str,
    problems: &mut BTreeSet<Problem>,
) {
    for object in store.state() {
        let id = ObjectId::of_dynamic(&object, &K::api_version(&()), &K::kind(&()));
        let mut report = Report::new(id);
        report.unsupported("spec", message);
        problems.extend(report.into_problems());
    }
}

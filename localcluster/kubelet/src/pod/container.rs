//! Life cycle of one container: start, probes, restarts, stop.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use localcluster_shared::{
    events::Occurrence,
    process::{Exit, LogFile, Output, Process, Tail},
};
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::{
    backoff::Backoff,
    health::Health,
    hook::run_hook,
    prepare,
    record::{Ended, State},
    shared::{Shared, Slot, Stop, StopSignal},
};
use crate::{
    host::Host,
    image::{self, Image},
    probe::Checker,
    spec::{Injected, PodFolders},
};

/// Poll interval for a missing image.
const IMAGE_POLL: Duration = Duration::from_millis(250);
/// Time that a missing image is reported as `ErrImagePull` before it becomes `ImagePullBackOff`.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);
/// Initial and maximum delay between attempts to create a container.
const PREPARE_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Number of log files kept from earlier runs.
const KEPT_LOGS: i32 = 2;
/// Lines of the termination message for `FallbackToLogsOnError` (80 in Kubernetes).
const MESSAGE_LINES: usize = 80;

/// Restart policy of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// Final outcome of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Exited with code 0 and is not restarted.
    Completed,
    /// Exited otherwise and is not restarted.
    Failed,
    /// Stopped by the kubelet.
    Stopped,
}

/// Runs one container, including its restarts.
pub(crate) struct Runner {
    pub(crate) host: Arc<Host>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) slot: Slot,
    pub(crate) restart: Restart,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stop: StopSignal,
    pub(crate) injected: Injected,
    pub(crate) folders: PodFolders,
}

impl Runner {
    /// Runs until the container has exited for good or is stopped.
    pub(crate) async fn run(mut self) -> Rest {
        let config = &self.host.config;
        let mut backoff = Backoff::new(config.restart_delay, config.max_restart_delay);
        loop {
            let Some((mut process, checker, tail)) = self.start().await else {
                return Rest::Stopped;
            };
            let begun = Instant::now();
            let (since, id) = (Timestamp::now(), container_id());
            self.shared.change(self.slot, |record| {
                record.state = State::Running {
                    since,
                    id: id.clone(),
                };
            });
            self.event(Occurrence::normal(
                "Started",
                format!("Started container {}", self.container.name),
            ));
            let (exit, by_order) = self.attend(&mut process, &checker).await;
            let mut ended = Ended::new(exit, since, Timestamp::now(), id);
            ended.message = tail
                .map(|tail| tail.text())
                .filter(|text| !text.is_empty() && !exit.is_success());
            self.shared.change(self.slot, |record| {
                record.state = State::Ended(ended.clone());
                (record.ready, record.started) = (false, false);
            });
            if by_order || self.stop.is_ordered() {
                return Rest::Stopped;
            }
            match (self.restart, exit.is_success()) {
                (Restart::Never | Restart::OnFailure, true) => return Rest::Completed,
                (Restart::Never, false) => return Rest::Failed,
                _ => {}
            }
            let wait = backoff.after_run(begun.elapsed());
            if !wait.is_zero() && self.wait_after_crash(wait).await {
                return Rest::Stopped;
            }
            self.shared.change(self.slot, |record| record.restarts += 1);
        }
    }

    /// Returns whether the container was stopped during the back-off.
    async fn wait_after_crash(&mut self, wait: Duration) -> bool {
        let (name, pod) = (&self.container.name, &self.pod);
        let full = format!(
            "{}_{}({})",
            pod.name_any(),
            pod.namespace().unwrap_or_default(),
            pod.uid().unwrap_or_default()
        );
        let message = format!("back-off {wait:?} restarting failed container={name} pod={full}");
        self.waiting("CrashLoopBackOff", Some(message));
        self.event(Occurrence::warning(
            "BackOff",
            format!("Back-off restarting failed container {name} in pod {full}"),
        ));
        self.stop.interrupted(wait).await
    }

    fn event(&self, occurrence: Occurrence) {
        self.host
            .events
            .emit(&self.pod, Some(&self.container.name), occurrence);
    }

    fn waiting(&self, reason: &'static str, message: Option<String>) {
        self.shared.change(self.slot, |record| {
            if let State::Ended(ended) = &record.state {
                record.last = Some(ended.clone());
            }
            record.state = State::Waiting { reason, message };
        });
    }

    /// Starts the process, retrying as needed. `None` if the container is stopped before.
    async fn start(&mut self) -> Option<(Process, Checker, Option<Arc<Tail>>)> {
        let mut retry = PREPARE_RETRY.0;
        loop {
            let image = self.find_image().await?;
            let id = format!(
                "{}@{}",
                image
                    .name
                    .rsplit_once(':')
                    .map_or(&*image.name, |(name, _)| name),
                image.digest
            );
            self.shared.change(self.slot, |record| record.image_id = id);
            let unprepared = match self.try_start(&image).await {
                Ok(started) => return Some(started),
                Err(unprepared) => unprepared,
            };
            self.event(Occurrence::warning(
                "Failed",
                format!("Error: {}", unprepared.message),
            ));
            self.waiting(unprepared.reason, Some(unprepared.message));
            if self.stop.interrupted(retry).await {
                return None;
            }
            retry = (retry * 2).min(PREPARE_RETRY.1);
        }
    }

    async fn try_start(
        &self,
        image: &Image,
    ) -> Result<(Process, Checker, Option<Arc<Tail>>), prepare::Unprepared> {
        let prepared = prepare::container(
            &self.host,
            &self.pod,
            &self.container,
            image,
            &self.injected,
            &self.folders,
        );
        let checker = prepared.await?;
        self.event(Occurrence::normal(
            "Created",
            format!("Created container: {}", self.container.name),
        ));
        let refuse = |message: String| prepare::Unprepared {
            reason: "CreateContainerError",
            message,
        };
        let restarts = self
            .shared
            .record(self.slot)
            .map_or(0, |record| record.restarts);
        let log = self
            .open_log(restarts)
            .map_err(|error| refuse(format!("cannot open the log file: {error}")))?;
        let wants_tail =
            self.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        let tail = wants_tail.then(|| Arc::new(Tail::new(MESSAGE_LINES)));
        let output: Arc<dyn Output> = match &tail {
            Some(tail) => Arc::new((log, tail.clone())),
            None => Arc::new(log),
        };
        self.shared.change(self.slot, |record| {
            if let State::Ended(ended) = &record.state {
                record.last = Some(ended.clone());
            }
        });
        let process = self
            .host
            .spawner
            .spawn(&checker.launch, output)
            .await
            .map_err(|error| refuse(error.to_string()))?;
        Ok((process, checker, tail))
    }

    /// Opens the log file of this run and removes that of the oldest kept run.
    fn open_log(&self, restarts: i32) -> std::io::Result<LogFile> {
        let folder = log_folder(&self.host, &self.pod).join(&self.container.name);
        fs::create_dir_all(&folder)?;
        for suffix in ["log", "log.1"] {
            // Usually absent.
            let _ = fs::remove_file(folder.join(format!("{}.{suffix}", restarts - KEPT_LOGS - 1)));
        }
        LogFile::stamped(
            folder.join(format!("{restarts}.log")),
            self.host.config.log_limit,
        )
    }

    /// Waits for the container's image. While it is missing, the pod's status reports that, and the
    /// store is polled, which needs no API request.
    async fn find_image(&mut self) -> Option<Image> {
        let name = self.container.image.clone().unwrap_or_default();
        let shown = Instant::now();
        let mut backing_off = false;
        let mut reported = None;
        loop {
            let (images, wanted) = (self.host.images.clone(), name.clone());
            let found = tokio::task::spawn_blocking(move || images.resolve(&wanted)).await;
            let error = match found {
                Ok(Ok(image)) => {
                    let message = format!("Container image \"{name}\" already present on machine");
                    self.event(Occurrence::normal("Pulled", message));
                    return Some(image);
                }
                Ok(Err(error)) => error,
                // The runtime is shutting down.
                Err(_) => return None,
            };
            if reported.as_ref() != Some(&error.to_string()) {
                reported = Some(error.to_string());
                backing_off = false;
                self.report_missing(&name, &error);
            } else if !backing_off && shown.elapsed() >= PULL_ERROR_SHOWN && self.may_pull(&error) {
                backing_off = true;
                let message = format!("Back-off pulling image \"{name}\": ErrImagePull: {error}");
                self.waiting("ImagePullBackOff", Some(message));
                self.event(Occurrence::normal(
                    "BackOff",
                    format!("Back-off pulling image \"{name}\""),
                ));
            }
            if self.stop.interrupted(IMAGE_POLL).await {
                return None;
            }
        }
    }

    fn may_pull(&self, error: &image::Error) -> bool {
        self.container.image_pull_policy.as_deref() != Some("Never")
            && !matches!(error, image::Error::InvalidReference { .. })
    }

    fn report_missing(&self, name: &str, error: &image::Error) {
        if let image::Error::InvalidReference { .. } = error {
            let message = format!("Failed to apply default image tag \"{name}\": {error}");
            self.event(Occurrence::warning("InspectFailed", message.clone()));
            self.waiting("InvalidImageName", Some(message));
        } else if !self.may_pull(error) {
            let message = format!(
                "Container image \"{name}\" is not present with pull policy of Never: {error}"
            );
            self.event(Occurrence::warning("ErrImageNeverPull", message.clone()));
            self.waiting("ErrImageNeverPull", Some(message));
        } else {
            self.event(Occurrence::warning(
                "Failed",
                format!("Failed to pull image \"{name}\": {error}"),
            ));
            self.event(Occurrence::warning("Failed", "Error: ErrImagePull"));
            self.waiting("ErrImagePull", Some(error.to_string()));
        }
    }

    /// Probes a running process until it exits. Returns its exit and whether it was stopped.
    async fn attend(&mut self, process: &mut Process, checker: &Checker) -> (Exit, bool) {
        let health = Health {
            events: &self.host.events,
            pod: &self.pod,
            container: &self.container,
            slot: self.slot,
            shared: &self.shared,
            checker,
        };
        let mut stop = self.stop.clone();
        let failure = tokio::select! {
            exit = process.wait() => return (exit.unwrap_or(Exit::Code(255)), false),
            _ = stop.ordered() => None,
            failure = health.watch() => Some(failure),
        };
        let Some(failure) = failure else {
            return (self.end_by_order(process, checker).await, true);
        };
        let own = failure.grace.or(self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds));
        let grace = Duration::from_secs(
            own.and_then(|grace| u64::try_from(grace).ok())
                .unwrap_or(30),
        );
        self.event(Occurrence::normal(
            "Killing",
            format!(
                "Container {} {}, will be restarted",
                self.container.name, failure.why
            ),
        ));
        self.shared.change(self.slot, |record| record.ready = false);
        let stop = Stop {
            deadline: Instant::now() + grace,
            settle: Duration::ZERO,
            hooks: true,
        };
        (self.end(process, checker, stop).await, false)
    }

    async fn end_by_order(&mut self, process: &mut Process, checker: &Checker) -> Exit {
        let stop = self.stop.ordered().await;
        if stop.hooks {
            self.event(Occurrence::normal(
                "Killing",
                format!("Stopping container {}", self.container.name),
            ));
        }
        self.end(process, checker, stop).await
    }

    /// Runs `preStop` and the settle delay in parallel, then sends `SIGTERM`, and `SIGKILL` at the
    /// deadline.
    async fn end(&mut self, process: &mut Process, checker: &Checker, stop: Stop) -> Exit {
        let lost = Exit::Code(255);
        let mut signal = self.stop.clone();
        let deadline = async {
            // A deletion while a failed container is being stopped may bring an earlier deadline.
            tokio::select! {
                () = tokio::time::sleep_until(stop.deadline) => {}
                () = signal.deadline() => {}
            }
        };
        tokio::pin!(deadline);
        let prelude = async { tokio::join!(sleep(stop.settle), self.pre_stop(checker, stop)) };
        let in_time = tokio::select! {
            exit = process.wait() => return exit.unwrap_or(lost),
            _ = prelude => true,
            () = &mut deadline => false,
        };
        // Do not poll `deadline` again once it has completed.
        if in_time {
            process.signal(Signal::TERM);
            tokio::select! {
                exit = process.wait() => return exit.unwrap_or(lost),
                () = &mut deadline => {}
            }
        }
        process.signal(Signal::KILL);
        process.wait().await.unwrap_or(lost)
    }

    async fn pre_stop(&self, checker: &Checker, stop: Stop) {
        let hook = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(hook) = hook.filter(|_| stop.hooks) else {
            return;
        };
        let limit = stop.deadline.saturating_duration_since(Instant::now());
        let result = timeout(limit, run_hook(hook, checker, limit)).await;
        if let Err(error) = result.unwrap_or_else(|_| Err("the grace period has ended".into())) {
            self.event(Occurrence::warning(
                "FailedPreStopHook",
                format!("PreStopHook failed: {error}"),
            ));
        }
    }
}

/// Folder of a pod's logs. The API server reads them from the same path.
pub(crate) fn log_folder(host: &Host, pod: &Pod) -> PathBuf {
    let (namespace, name, uid) = (
        pod.namespace().unwrap_or_default(),
        pod.name_any(),
        pod.uid().unwrap_or_default(),
    );
    host.config
        .logs_dir()
        .join(format!("{namespace}_{name}_{uid}"))
}

fn container_id() -> String {
    format!(
        "localcluster://{:016x}{:016x}{:016x}{:016x}",
        fastrand::u64(..),
        fastrand::u64(..),
        fastrand::u64(..),
        fastrand::u64(..)
    )
}

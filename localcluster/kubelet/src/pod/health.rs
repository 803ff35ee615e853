//! The probes of a running container.

use std::{future::pending, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use localcluster_shared::events::Occurrence;
use tokio::time::{Instant, sleep};

use super::{
    hook::run_hook,
    shared::{Shared, Slot},
};
use crate::{
    host::Events,
    probe::{Checker, Kind, Schedule, Verdict},
};

/// Time limit of a `postStart` hook.
const POST_START: Duration = Duration::from_secs(120);

/// The reason to kill a running container.
#[derive(Debug)]
pub(super) struct Failure {
    /// Completes the sentence "Container NAME …".
    pub(super) why: String,
    /// The probe's own grace period in seconds.
    pub(super) grace: Option<i64>,
}

/// Probes of one run of a container.
pub(super) struct Health<'a> {
    pub(super) events: &'a Events,
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) slot: Slot,
    pub(super) shared: &'a Shared,
    pub(super) checker: &'a Checker,
}

impl Health<'_> {
    /// Keeps `started` and `ready` of the container up to date. Returns when it must be killed.
    pub(super) async fn watch(&self) -> Failure {
        if let Err(failure) = self.post_start().await {
            return failure;
        }
        if let Some(probe) = &self.container.startup_probe
            && let Some(failure) = self.until_started(probe).await
        {
            return failure;
        }
        let ready = self.container.readiness_probe.is_none();
        self.shared.change(self.slot, |record| {
            (record.started, record.ready) = (true, ready);
        });
        tokio::select! {
            failure = self.while_alive() => failure,
            () = self.follow_readiness() => pending().await,
        }
    }

    async fn post_start(&self) -> Result<(), Failure> {
        let hook = self
            .container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        run_hook(hook, self.checker, POST_START)
            .await
            .map_err(|error| {
                let occurrence = Occurrence::warning(
                    "FailedPostStartHook",
                    format!("PostStartHook failed: {error}"),
                );
                self.events
                    .emit(self.pod, Some(&self.container.name), occurrence);
                Failure {
                    why: "failed its post start hook".into(),
                    grace: None,
                }
            })
    }

    async fn until_started(&self, probe: &Probe) -> Option<Failure> {
        let mut verdicts = Attempts::new(self, Kind::Startup, probe);
        match verdicts.next().await {
            Verdict::Success => None,
            Verdict::Failure => Some(verdicts.failure()),
        }
    }

    async fn while_alive(&self) -> Failure {
        let Some(probe) = &self.container.liveness_probe else {
            return pending().await;
        };
        let mut verdicts = Attempts::new(self, Kind::Liveness, probe);
        while verdicts.next().await == Verdict::Success {}
        verdicts.failure()
    }

    async fn follow_readiness(&self) {
        let Some(probe) = &self.container.readiness_probe else {
            return pending().await;
        };
        let mut verdicts = Attempts::new(self, Kind::Readiness, probe);
        loop {
            let ready = verdicts.next().await == Verdict::Success;
            if self
                .shared
                .record(self.slot)
                .is_some_and(|record| record.ready != ready)
            {
                self.shared.change(self.slot, |record| record.ready = ready);
            }
        }
    }
}

/// Repeated attempts of one probe.
struct Attempts<'a> {
    health: &'a Health<'a>,
    probe: &'a Probe,
    schedule: Schedule,
    begun: Option<Instant>,
}

impl<'a> Attempts<'a> {
    fn new(health: &'a Health<'a>, kind: Kind, probe: &'a Probe) -> Self {
        Self {
            health,
            probe,
            schedule: Schedule::new(kind, probe),
            begun: None,
        }
    }

    /// Probes until a threshold is reached.
    async fn next(&mut self) -> Verdict {
        loop {
            sleep(self.schedule.next_delay()).await;
            let begun = *self.begun.get_or_insert_with(Instant::now);
            let result = self
                .health
                .checker
                .probe(self.probe, self.schedule.timeout())
                .await;
            let (verdict, report) = self.schedule.record(result.is_ok(), begun.elapsed());
            if let (Err(error), true) = (result, report) {
                let message = format!("{} probe failed: {error}", self.schedule.kind().as_str());
                let Health {
                    events,
                    pod,
                    container,
                    ..
                } = self.health;
                events.emit(
                    pod,
                    Some(&container.name),
                    Occurrence::warning("Unhealthy", message),
                );
            }
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    fn failure(&self) -> Failure {
        let kind = self.schedule.kind().as_str().to_lowercase();
        Failure {
            why: format!("failed {kind} probe"),
            grace: self.probe.termination_grace_period_seconds,
        }
    }
}

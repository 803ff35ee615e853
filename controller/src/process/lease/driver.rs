//! Reads and writes the Lease.

use std::time::Duration;

use api_failure::{ApiFailure, if_present};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Decision, Fence, NAME, Permit, Record, Seen, Times, decide};
use crate::process::clock::Clock;

/// The Lease is lost; the process must exit.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process took it.
    #[error("the lease {namespace}/{NAME} was taken by {holder}; exiting")]
    Taken {
        /// Namespace of the Lease.
        namespace: String,
        /// Its new holder.
        holder: String,
    },
}

/// Runs the election.
pub struct Elector {
    api: Api<Lease>,
    namespace: String,
    me: String,
    times: Times,
    clock: Clock,
    permit: watch::Sender<Permit>,
    current: Option<Lease>,
    seen: Option<Seen>,
    /// This process holds the Lease, but could not renew it in time.
    overdue: bool,
    /// The last request got no response.
    unanswered: bool,
}

impl Elector {
    /// Creates an elector with the identity `me`, and the fence that it controls.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        me: &str,
        times: Times,
        clock: Clock,
    ) -> (Self, Fence) {
        let (permit, receiver) = watch::channel(Permit::Never);
        let elector = Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            me: me.to_owned(),
            times,
            clock,
            permit,
            current: None,
            seen: None,
            overdue: false,
            unanswered: false,
        };
        (elector, Fence(receiver))
    }

    /// Runs the election until `shutdown`, then releases the Lease.
    ///
    /// # Errors
    /// If this process held the Lease and lost it.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), LeaseError> {
        loop {
            let started = Instant::now();
            let mut went_well = false;
            match tokio::time::timeout(self.times.longest_try(), self.step(started)).await {
                Ok(Ok(())) => went_well = true,
                // Another process wrote the Lease first, or deleted it.
                Ok(Err(failure)) if failure.is_conflict() || failure.is_not_found() => {
                    self.current = None;
                }
                Ok(Err(failure)) => {
                    self.unanswered = true;
                    warn!(lease = NAME, namespace = self.namespace, %failure, "cannot read or write the lease");
                }
                Err(_) => {
                    self.unanswered = true;
                    warn!(
                        lease = NAME,
                        namespace = self.namespace,
                        "timed out reading or writing the lease"
                    );
                }
            }
            self.notice_loss()?;
            let pause = self.pause(went_well, started);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
            }
        }
    }

    /// Reads the Lease if needed, decides, and writes the Lease unless the decision is to wait.
    async fn step(&mut self, started: Instant) -> Result<(), ApiFailure> {
        if !self.holds() || self.current.is_none() {
            self.current = if_present(self.api.get(NAME).await)?;
            self.note(Instant::now());
            if self.taker().is_some() {
                return Ok(());
            }
        }
        if decide(self.seen.as_ref(), &self.me, Instant::now()) == Decision::Wait {
            return Ok(());
        }
        let params = PostParams::default();
        let written = match &self.current {
            None => {
                let lease = self.record(Lease::default());
                self.api.create(&params, &lease).await?
            }
            Some(current) => {
                let lease = self.record(current.clone());
                self.api.replace(NAME, &params, &lease).await?
            }
        };
        self.written(written, started);
        Ok(())
    }

    /// Records the Lease that was read. If it was deleted, the last record stays valid, because its holder does not know
    /// about the deletion yet.
    fn note(&mut self, now: Instant) {
        if let Some(record) = self.current.as_ref().map(record_of) {
            let mut seen = Seen::update(self.seen.take(), record, now);
            if self.unanswered {
                seen = seen.extend(self.times.grace(), now);
            }
            self.seen = Some(seen);
        }
        self.unanswered = false;
    }

    /// Pause until the next step, after one that began at `started`.
    fn pause(&self, went_well: bool, started: Instant) -> Duration {
        if self.holds() {
            return if went_well {
                self.times.renewal().saturating_sub(started.elapsed())
            } else {
                self.times.retry()
            };
        }
        // One millisecond after the expiry, because the Lease can be taken only then.
        let expires = self.seen.as_ref().map(|seen| {
            let left =
                (seen.since + seen.record.duration).saturating_duration_since(Instant::now());
            left.saturating_add(Duration::from_millis(1))
        });
        let read = self.times.read();
        expires
            .filter(|_| went_well)
            .map_or(read, |left| left.min(read))
    }

    fn written(&mut self, lease: Lease, started: Instant) {
        if !self.holds() {
            info!(
                lease = NAME,
                namespace = self.namespace,
                identity = self.me,
                "leading"
            );
        }
        if self.overdue {
            info!(
                lease = NAME,
                namespace = self.namespace,
                "renewed the lease; active again"
            );
            self.overdue = false;
        }
        self.current = Some(lease);
        self.note(Instant::now());
        self.permit
            .send_replace(Permit::Until(started + self.times.renew_deadline()));
    }

    fn holds(&self) -> bool {
        *self.permit.borrow() != Permit::Never
    }

    /// Returns the new holder, if this process held the Lease and lost it.
    fn taker(&self) -> Option<&str> {
        let holder = self.seen.as_ref()?.record.holder.as_str();
        (self.holds() && holder != self.me).then_some(holder)
    }

    fn notice_loss(&mut self) -> Result<(), LeaseError> {
        if let Some(holder) = self.taker() {
            let holder = if holder.is_empty() {
                "another process, which has released it"
            } else {
                holder
            };
            let error = LeaseError::Taken {
                namespace: self.namespace.clone(),
                holder: holder.to_owned(),
            };
            self.permit.send_replace(Permit::Never);
            return Err(error);
        }
        let Permit::Until(end) = *self.permit.borrow() else {
            return Ok(());
        };
        if Instant::now() >= end && !self.overdue {
            self.overdue = true;
            warn!(
                lease = NAME,
                namespace = self.namespace,
                seconds = self.times.renew_deadline().as_secs_f64(),
                "could not renew the lease in time; this process is inactive until it can"
            );
        }
        Ok(())
    }

    /// Releases the Lease, so that another process can take over at once.
    async fn release(mut self) {
        if !self.holds() {
            return;
        }
        self.permit.send_replace(Permit::Never);
        let Some(mut lease) = self.current.take() else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(self.now());
        }
        let params = PostParams::default();
        let write = async { Ok::<_, ApiFailure>(self.api.replace(NAME, &params, &lease).await?) };
        match tokio::time::timeout(Duration::from_secs(2), write).await {
            Ok(Ok(_)) => info!(
                lease = NAME,
                namespace = self.namespace,
                "released the lease"
            ),
            Ok(Err(failure)) => warn!(%failure, "could not release the lease"),
            Err(_) => warn!("timed out releasing the lease"),
        }
    }

    /// Builds the Lease that this process writes.
    fn record(&self, lease: Lease) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let is_renewal = before.holder_identity.as_deref() == Some(&self.me);
        let transitions = before.lease_transitions.unwrap_or(0);
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..lease.metadata
        };
        let seconds = self.times.duration().as_secs();
        let spec = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(seconds).ok(),
            acquire_time: if is_renewal {
                before.acquire_time
            } else {
                Some(self.now())
            },
            renew_time: Some(self.now()),
            lease_transitions: Some(if is_renewal {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    fn now(&self) -> MicroTime {
        // `MicroTime` has a resolution of microseconds.
        let now = self.clock.now();
        MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now))
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or(15).max(1);
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(15)),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

//! Reads and writes the Lease as decided.

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

/// The Lease is lost; the process must end.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It could not be renewed in time.
    #[error(
        "the lease {namespace}/{NAME} could not be renewed for {seconds} s; ending, so that another process can take over"
    )]
    Expired {
        /// Namespace of the Lease.
        namespace: String,
        /// The renew deadline.
        seconds: u64,
    },
    /// Another process took it.
    #[error("the lease {namespace}/{NAME} was taken by {holder}; ending")]
    Taken {
        /// Namespace of the Lease.
        namespace: String,
        /// Its new holder.
        holder: String,
    },
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    namespace: String,
    me: String,
    times: Times,
    clock: Clock,
    permit: watch::Sender<Permit>,
    current: Option<Lease>,
    seen: Option<Seen>,
}

impl Elector {
    /// An elector with the identity `me`, and the fence it opens.
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
        };
        (elector, Fence(receiver))
    }

    /// Takes part until `shutdown`, then gives the Lease back.
    ///
    /// # Errors
    /// When the Lease was held and is lost.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), LeaseError> {
        loop {
            let started = Instant::now();
            // A try that hangs must not keep the holder from noticing that its time is up.
            let mut went_well = false;
            match tokio::time::timeout(self.times.renew_deadline / 2, self.step(started)).await {
                Ok(Ok(())) => went_well = true,
                Ok(Err(failure)) if failure.is_conflict() => self.current = None,
                Ok(Err(failure)) => {
                    warn!(lease = NAME, namespace = self.namespace, %failure, "cannot use the lease");
                }
                Err(_) => warn!(
                    lease = NAME,
                    namespace = self.namespace,
                    "no answer about the lease"
                ),
            }
            self.notice_loss()?;
            // Held: one request every third of its duration.
            let pause = if went_well && self.holds() {
                self.times.duration / 3
            } else {
                self.times.retry
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {
                    self.give_back().await;
                    return Ok(());
                }
            }
        }
    }

    /// Reads the Lease if needed, and writes it if that is decided.
    async fn step(&mut self, started: Instant) -> Result<(), ApiFailure> {
        if !self.holds() || self.current.is_none() {
            self.current = if_present(self.api.get(NAME).await)?;
            self.look(Instant::now());
        }
        match decide(self.seen.as_ref(), &self.me, Instant::now()) {
            Decision::Wait => {}
            Decision::Create => {
                let lease = self.record(Lease::default());
                let written = self.api.create(&PostParams::default(), &lease).await?;
                self.written(written, started);
            }
            Decision::Take | Decision::Renew => {
                let lease = self.record(self.current.clone().unwrap_or_default());
                let written = self
                    .api
                    .replace(NAME, &PostParams::default(), &lease)
                    .await?;
                self.written(written, started);
            }
        }
        Ok(())
    }

    fn look(&mut self, now: Instant) {
        let record = self.current.as_ref().map(record_of);
        self.seen = record.map(|record| Seen::update(self.seen.take(), record, now));
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
        self.current = Some(lease);
        self.look(Instant::now());
        self.permit
            .send_replace(Permit::Until(started + self.times.renew_deadline));
    }

    fn holds(&self) -> bool {
        *self.permit.borrow() != Permit::Never
    }

    fn notice_loss(&self) -> Result<(), LeaseError> {
        let Permit::Until(end) = *self.permit.borrow() else {
            return Ok(());
        };
        let holder = self
            .seen
            .as_ref()
            .map(|seen| seen.record.holder.clone())
            .unwrap_or_default();
        let error = if !holder.is_empty() && holder != self.me {
            LeaseError::Taken {
                namespace: self.namespace.clone(),
                holder,
            }
        } else if Instant::now() >= end {
            let seconds = self.times.renew_deadline.as_secs();
            LeaseError::Expired {
                namespace: self.namespace.clone(),
                seconds,
            }
        } else {
            return Ok(());
        };
        self.permit.send_replace(Permit::Never);
        Err(error)
    }

    /// Lets another process take over at once.
    async fn give_back(mut self) {
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
                "gave the lease back"
            ),
            Ok(Err(failure)) => warn!(%failure, "could not give the lease back"),
            Err(_) => warn!("could not give the lease back in time"),
        }
    }

    /// The Lease as this process writes it.
    fn record(&self, lease: Lease) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let is_renewal = before.holder_identity.as_deref() == Some(&self.me);
        let transitions = before.lease_transitions.unwrap_or(0);
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..lease.metadata
        };
        let seconds = self.times.duration.as_secs().max(1);
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
        // Kubernetes keeps microseconds.
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

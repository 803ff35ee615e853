//! Jobs that must not block a tick: event webhooks and alerts.
//!
//! Each canary is assigned to one of several lanes. The jobs of a lane run in order, so a dead endpoint delays only its
//! own lane. Lanes are bounded: if a lane is full, the job is dropped and a warning is logged.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::mpsc, task::JoinSet};
use tracing::warn;

const LANES: usize = 8;
const JOBS_PER_LANE: usize = 64;

/// Queues jobs.
#[derive(Debug, Clone)]
pub struct Background {
    lanes: Vec<mpsc::Sender<BoxFuture<'static, ()>>>,
}

/// The running lanes.
#[derive(Debug)]
pub struct Lanes(JoinSet<()>);

impl Background {
    /// Starts the lanes.
    #[must_use]
    pub fn start() -> (Self, Lanes) {
        let mut running = JoinSet::new();
        let lanes = (0..LANES)
            .map(|_| {
                let (sender, mut jobs) = mpsc::channel::<BoxFuture<'static, ()>>(JOBS_PER_LANE);
                running.spawn(async move {
                    while let Some(job) = jobs.recv().await {
                        job.await;
                    }
                });
                sender
            })
            .collect();
        (Self { lanes }, Lanes(running))
    }

    /// Queues a job of `owner`. Returns `false` if its lane is full.
    pub fn submit(&self, owner: &str, job: BoxFuture<'static, ()>) -> bool {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let accepted = self
            .lanes
            .get(lane)
            .is_some_and(|lane| lane.try_send(job).is_ok());
        if !accepted {
            warn!(
                canary = owner,
                "too many webhook and alert calls in progress; dropped one"
            );
        }
        accepted
    }
}

impl Lanes {
    /// Waits up to `at_most` for the queued jobs to finish. Every [`Background`] must be dropped before.
    pub async fn drain(mut self, at_most: Duration) {
        let finished = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(at_most, finished).await.is_err() {
            warn!("aborted webhook and alert calls that were still in progress");
        }
    }
}

//! Work that must not hold up a tick: event webhooks and alerts.
//!
//! Jobs of one canary run in order, in one of several lanes, so that a dead endpoint delays only its own lane.
//! Lanes are bounded: when one is full, the job is dropped and counted, never waited for.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::mpsc, task::JoinSet};
use tracing::warn;

const LANES: usize = 8;
const JOBS_PER_LANE: usize = 64;

/// Takes jobs.
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

    /// Queues a job of `owner`; false if its lane is full.
    pub fn submit(&self, owner: &str, job: BoxFuture<'static, ()>) -> bool {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        let accepted = self
            .lanes
            .get(lane)
            .is_some_and(|lane| lane.try_send(job).is_ok());
        if !accepted {
            warn!(canary = owner, "too many calls under way, one was dropped");
        }
        accepted
    }
}

impl Lanes {
    /// Waits for the jobs that are queued, at most so long, once every [`Background`] is gone.
    pub async fn drain(mut self, at_most: Duration) {
        let finished = async { while self.0.join_next().await.is_some() {} };
        if tokio::time::timeout(at_most, finished).await.is_err() {
            warn!("calls still under way were given up");
        }
    }
}

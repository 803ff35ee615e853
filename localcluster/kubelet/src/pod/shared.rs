//! State shared by the tasks of one pod.

use std::sync::{Mutex, PoisonError};

use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant},
};

use super::{record::Record, status::Known};

/// One container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Index among the init containers.
    Init(usize),
    /// Index among the main containers.
    Main(usize),
}

/// The known state of a pod and notifications of its changes.
#[derive(Debug)]
pub(crate) struct Shared {
    known: Mutex<Known>,
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn new(known: Known) -> Self {
        Self {
            known: Mutex::new(known),
            changed: Notify::new(),
        }
    }

    pub(crate) fn known(&self) -> Known {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    pub(crate) fn record(&self, slot: Slot) -> Option<Record> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match slot {
            Slot::Init(index) => known.init.get(index).cloned(),
            Slot::Main(index) => known.main.get(index).cloned(),
        }
    }

    pub(crate) fn change(&self, slot: Slot, change: impl FnOnce(&mut Record)) {
        self.update(|known| {
            let record = match slot {
                Slot::Init(index) => known.init.get_mut(index),
                Slot::Main(index) => known.main.get_mut(index),
            };
            if let Some(record) = record {
                change(record);
            }
        });
    }
}

/// Request to stop a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Time of `SIGKILL`.
    pub(crate) deadline: Instant,
    /// Delay before `SIGTERM`.
    pub(crate) settle: Duration,
    /// Whether to run `preStop` hooks.
    pub(crate) hooks: bool,
}

/// Receiver of the stop request. A second request can only shorten the deadline.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal(watch::Receiver<Option<Stop>>);

impl StopSignal {
    pub(crate) fn new() -> (watch::Sender<Option<Stop>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// Waits for the request.
    pub(crate) async fn ordered(&mut self) -> Stop {
        match self.0.wait_for(Option::is_some).await.map(|stop| *stop) {
            Ok(Some(stop)) => stop,
            // The sender is gone: stop immediately.
            _ => Stop {
                deadline: Instant::now(),
                settle: Duration::ZERO,
                hooks: false,
            },
        }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the deadline, which may be shortened while waiting.
    pub(crate) async fn deadline(&mut self) {
        loop {
            let stop = self.ordered().await;
            let moved = async {
                if self
                    .0
                    .wait_for(|now| now.is_some_and(|now| now.deadline < stop.deadline))
                    .await
                    .is_err()
                {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(stop.deadline) => return,
                () = moved => {}
            }
        }
    }

    /// Sleeps until `sleep` has passed or a stop is requested. Returns whether it was requested.
    pub(crate) async fn interrupted(&mut self, sleep: Duration) -> bool {
        tokio::select! {
            _ = self.ordered() => true,
            () = tokio::time::sleep(sleep) => false,
        }
    }
}

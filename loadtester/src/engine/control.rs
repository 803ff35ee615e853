//! Watches and cancels a run from outside.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use loadtester_http1::Wake;
use tokio::sync::Notify;

use crate::recorder::Totals;

/// Shared by a run and its watchers. The threads publish their totals when asked and when they end. Each publication costs a
/// thread one copy of its totals.
#[derive(Default)]
pub struct Control {
    cancelled: AtomicBool,
    begin: Mutex<Option<Instant>>,
    threads: Mutex<Vec<Arc<Shared>>>,
}

struct Shared {
    /// Wakes a thread that runs on the reactor.
    wake: Wake,
    /// Wakes a thread that runs on tokio.
    notify: Notify,
    /// The totals, and when they were copied.
    published: Mutex<Option<(Arc<Totals>, Instant)>>,
}

/// One thread's side of [`Control`].
pub(super) struct ThreadControl {
    control: Arc<Control>,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Ends the run: no new requests, and those in flight are cut off.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.wake_all();
    }

    /// True once [`Control::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks every thread to publish its totals for the next [`Control::snapshot`].
    pub fn refresh(&self) {
        self.wake_all();
    }

    /// The totals published last, and the time they cover.
    pub fn snapshot(&self) -> Option<(Totals, Duration)> {
        let begin = (*lock(&self.begin))?;
        let mut all: Option<Totals> = None;
        let mut until = begin;
        for thread in lock(&self.threads).iter() {
            if let Some((totals, at)) = &*lock(&thread.published) {
                until = until.max(*at);
                match &mut all {
                    Some(all) => all.merge(totals),
                    None => all = Some(Totals::clone(totals)),
                }
            }
        }
        Some((all?, until - begin))
    }

    pub(super) fn begin(&self, at: Instant) {
        *lock(&self.begin) = Some(at);
    }

    pub(super) fn thread(self: &Arc<Self>) -> io::Result<ThreadControl> {
        let shared = Arc::new(Shared {
            wake: Wake::new()?,
            notify: Notify::new(),
            published: Mutex::default(),
        });
        lock(&self.threads).push(Arc::clone(&shared));
        // The run may have been cancelled before this thread was listed.
        if self.is_cancelled() {
            self.wake_all();
        }
        Ok(ThreadControl {
            control: Arc::clone(self),
            shared,
        })
    }

    fn wake_all(&self) {
        for thread in lock(&self.threads).iter() {
            thread.wake.wake();
            thread.notify.notify_one();
        }
    }
}

impl ThreadControl {
    pub(super) fn wake(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// Waits until a watcher asks for totals or cancels.
    pub(super) async fn woken(&self) {
        self.shared.notify.notified().await;
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }

    pub(super) fn publish(&self, totals: Arc<Totals>) {
        *lock(&self.shared.published) = Some((totals, Instant::now()));
    }
}

//! A handle on a running load: look at it, end it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use tokio::sync::Notify;

use crate::recorder::Totals;

/// Shared by a run and whoever watches it. Threads publish what they saw when asked, and at their end; asking costs
/// them one copy of their totals.
#[derive(Default)]
pub struct Control {
    cancelled: AtomicBool,
    /// The run is to begin again, by a client that speaks TLS.
    needs_tls: AtomicBool,
    begin: Mutex<Option<Instant>>,
    seats: Mutex<Vec<Arc<Shared>>>,
}

struct Shared {
    /// Wakes a reactor.
    wake: Arc<OwnedFd>,
    /// Wakes a thread that runs on tokio.
    notify: Notify,
    /// With the moment it was true at.
    published: Mutex<Option<(Arc<Totals>, Instant)>>,
}

/// One thread's side of [`Control`].
pub(super) struct Seat {
    control: Arc<Control>,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Ends the run: no new requests, those running are cut off.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether [`Control::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Asks every thread to publish; the next [`Control::look`] sees it.
    pub fn ask(&self) {
        self.wake_all();
    }

    /// What was published last, and for how long it had been recorded then.
    pub fn look(&self) -> Option<(Totals, Duration)> {
        let begin = (*lock(&self.begin))?;
        let mut seen: Option<Totals> = None;
        let mut until = begin;
        for seat in lock(&self.seats).iter() {
            if let Some((totals, at)) = &*lock(&seat.published) {
                until = until.max(*at);
                match &mut seen {
                    Some(seen) => seen.merge(totals),
                    None => seen = Some(Totals::clone(totals)),
                }
            }
        }
        Some((seen?, until - begin))
    }

    /// Whether the run that has just ended is to begin again by a client that speaks TLS; takes leave of its threads.
    pub(super) fn begins_again(&self) -> bool {
        let again = self.needs_tls.swap(false, Ordering::AcqRel) && !self.is_cancelled();
        if again {
            lock(&self.seats).clear();
        }
        again
    }

    pub(super) fn begin(&self, at: Instant) {
        *lock(&self.begin) = Some(at);
    }

    pub(super) fn seat(self: &Arc<Self>) -> io::Result<Seat> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shared = Arc::new(Shared {
            wake,
            notify: Notify::new(),
            published: Mutex::default(),
        });
        lock(&self.seats).push(Arc::clone(&shared));
        // A cancel that came before must not be missed.
        if self.is_cancelled() {
            self.wake_all();
        }
        Ok(Seat {
            control: Arc::clone(self),
            shared,
        })
    }

    fn wake_all(&self) {
        for seat in lock(&self.seats).iter() {
            // Full means that a wake-up is pending, which is all that is wanted.
            let _ = rustix::io::write(&*seat.wake, &1u64.to_ne_bytes());
            seat.notify.notify_one();
        }
    }
}

impl Seat {
    pub(super) fn waker(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.shared.wake)
    }

    /// Waits until somebody asks for figures or cancels.
    pub(super) async fn woken(&self) {
        self.shared.notify.notified().await;
    }

    /// Whether the threads are to end, for good or to begin again.
    pub(super) fn is_cancelled(&self) -> bool {
        self.control.is_cancelled() || self.is_to_begin_again()
    }

    /// Ends the threads, for the run to begin again by a client that speaks TLS.
    pub(super) fn ask_for_tls(&self) {
        self.control.needs_tls.store(true, Ordering::Release);
        self.control.wake_all();
    }

    /// Whether what this thread saw is no part of the run's result.
    pub(super) fn is_to_begin_again(&self) -> bool {
        self.control.needs_tls.load(Ordering::Acquire)
    }

    pub(super) fn publish(&self, totals: Arc<Totals>) {
        *lock(&self.shared.published) = Some((totals, Instant::now()));
    }
}

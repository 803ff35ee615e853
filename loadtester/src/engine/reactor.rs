//! A small executor for many workers on one thread: epoll for sockets, nanosecond timers for schedules.
//!
//! General runtimes tick in milliseconds, which bunches requests that should leave evenly, and pay for wake-ups
//! between threads that workers never need. Here a worker is a future that is polled when its socket is ready, its
//! timer is due, its deadline has passed, or the run is cancelled; there are no wakers. A socket is registered
//! once, edge-triggered, so a request costs one write, one read, and its part of one wait.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::runtime::{Runtime, Stopped};

/// Marks the event of the wake-up descriptor.
const WAKE: u64 = u64::MAX;
/// Marks the event of the timer.
const TIMER: u64 = u64::MAX - 1;
const EVENTS_AT_ONCE: usize = 256;

/// Sockets, timers and deadlines of the workers of one thread.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    /// Fires at the first of `timers` or at the next deadline; the timeout of a wait would be rounded to milliseconds.
    timer: OwnedFd,
    armed: Cell<Option<Instant>>,
    workers: Vec<Worker>,
    timers: RefCell<BinaryHeap<Reverse<(Instant, usize)>>>,
    /// No deadline passes before this; later ones are not kept in order, as almost none is ever reached.
    next_deadline: Cell<Option<Instant>>,
    cancelled: Cell<bool>,
}

#[derive(Default)]
struct Worker {
    ready: Cell<bool>,
    timer_fired: Cell<bool>,
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
}

impl Reactor {
    /// A reactor for `workers` futures; writing to `wake` (an eventfd) makes [`Reactor::run`] call back.
    ///
    /// # Errors
    /// The system refuses another descriptor.
    pub(crate) fn new(workers: usize, wake: Arc<OwnedFd>) -> io::Result<Self> {
        use epoll::EventFlags;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &*wake,
            epoll::EventData::new_u64(WAKE),
            EventFlags::IN,
        )?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: setting it anew clears it, so it never needs to be read.
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), edge)?;
        Ok(Self {
            epoll,
            wake,
            timer,
            armed: Cell::new(None),
            workers: (0..workers).map(|_| Worker::default()).collect(),
            timers: RefCell::default(),
            next_deadline: Cell::new(None),
            cancelled: Cell::new(false),
        })
    }

    /// Registers a worker's socket for good; closing it ends that.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn register(&self, worker: usize, socket: impl AsFd) -> io::Result<()> {
        use epoll::EventFlags;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(worker as u64),
            flags,
        )?)
    }

    /// Waits until one of the worker's sockets may have become readable or writable since the last call.
    pub(crate) fn ready(&self, worker: usize) -> impl Future<Output = ()> {
        poll_fn(move |_| {
            if self.workers[worker].ready.take() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    /// Makes every worker stop where it waits.
    pub(crate) fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Runs the futures to their ends. `on_wake` is called after each write to the wake-up descriptor.
    ///
    /// # Errors
    /// Waiting for events fails.
    pub(crate) fn run<'f>(
        &'f self,
        futures: Vec<Pin<Box<dyn Future<Output = ()> + 'f>>>,
        mut on_wake: impl FnMut(&Self),
    ) -> io::Result<()> {
        let mut running = Running {
            context: Context::from_waker(Waker::noop()),
            left: futures.len(),
        };
        let mut slots: Vec<_> = futures.into_iter().map(Some).collect();
        for slot in &mut slots {
            running.poll(slot);
        }
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        while running.left > 0 {
            self.arm_timer()?;
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut timer_expired = false;
            for event in events.drain(..) {
                let data = event.data.u64();
                if data == TIMER {
                    timer_expired = true;
                    self.armed.set(None);
                    continue;
                }
                if data == WAKE {
                    let mut count = [0; 8];
                    // Nothing to read means that somebody else saw it: the call back is due all the same.
                    let _ = rustix::io::read(&*self.wake, &mut count);
                    on_wake(self);
                    if self.cancelled.get() {
                        slots.iter_mut().for_each(|slot| running.poll(slot));
                    }
                    continue;
                }
                // Our own numbers, registered above.
                let worker = data as usize;
                self.workers[worker].ready.set(true);
                running.poll(&mut slots[worker]);
            }
            self.fire_timers(|worker| running.poll(&mut slots[worker]));
            if timer_expired {
                self.expire_deadlines(|worker| running.poll(&mut slots[worker]));
            }
        }
        Ok(())
    }

    /// Sets the timer to the first moment that anything is due or too late.
    fn arm_timer(&self) -> io::Result<()> {
        let timer = self.timers.borrow().peek().map(|Reverse((at, _))| *at);
        let first = match (timer, self.next_deadline.get()) {
            (Some(timer), Some(deadline)) => timer.min(deadline),
            (Some(first), None) | (None, Some(first)) => first,
            (None, None) => return Ok(()),
        };
        if self.armed.get().is_some_and(|armed| armed <= first) {
            return Ok(());
        }
        // Zero would disarm it.
        let left = first
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed.set(Some(first));
        Ok(())
    }

    fn fire_timers(&self, mut poll: impl FnMut(usize)) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        loop {
            let worker = match self.timers.borrow().peek() {
                Some(Reverse((at, worker))) if *at <= now => *worker,
                _ => return,
            };
            self.timers.borrow_mut().pop();
            self.workers[worker].timer_fired.set(true);
            poll(worker);
        }
    }

    fn expire_deadlines(&self, mut poll: impl FnMut(usize)) {
        let Some(next) = self.next_deadline.get() else {
            return;
        };
        let now = Instant::now();
        if now < next {
            return;
        }
        let open = || {
            self.workers
                .iter()
                .filter_map(|worker| worker.deadline.get())
        };
        self.next_deadline
            .set(open().filter(|deadline| *deadline > now).min());
        for (index, worker) in self.workers.iter().enumerate() {
            if worker
                .deadline
                .get()
                .is_some_and(|deadline| deadline <= now)
            {
                worker.deadline.set(None);
                worker.expired.set(true);
                poll(index);
            }
        }
    }

    fn set_deadline(&self, worker: usize, deadline: Instant) {
        self.workers[worker].deadline.set(Some(deadline));
        self.workers[worker].expired.set(false);
        if self.next_deadline.get().is_none_or(|next| deadline < next) {
            self.next_deadline.set(Some(deadline));
        }
    }
}

struct Running<'c> {
    context: Context<'c>,
    left: usize,
}

impl Running<'_> {
    fn poll(&mut self, slot: &mut Option<Pin<Box<dyn Future<Output = ()> + '_>>>) {
        if let Some(future) = slot
            && future.as_mut().poll(&mut self.context).is_ready()
        {
            *slot = None;
            self.left -= 1;
        }
    }
}

impl Runtime for Reactor {
    async fn sleep_until(&self, worker: usize, at: Instant) {
        if at <= Instant::now() {
            return;
        }
        self.timers.borrow_mut().push(Reverse((at, worker)));
        poll_fn(|_| {
            let over = self.workers[worker].timer_fired.take() || self.cancelled.get();
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    async fn within<F: Future>(
        &self,
        worker: usize,
        deadline: Option<Instant>,
        future: F,
    ) -> Result<F::Output, Stopped> {
        let mut future = pin!(future);
        if let Some(deadline) = deadline {
            self.set_deadline(worker, deadline);
        }
        let result = poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                Poll::Ready(Ok(output))
            } else if self.cancelled.get() {
                Poll::Ready(Err(Stopped::Cancelled))
            } else if self.workers[worker].expired.get() {
                Poll::Ready(Err(Stopped::Deadline))
            } else {
                Poll::Pending
            }
        })
        .await;
        self.workers[worker].deadline.set(None);
        result
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    fn reactor(workers: usize) -> (Reactor, Arc<OwnedFd>) {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
        (Reactor::new(workers, Arc::clone(&wake)).unwrap(), wake)
    }

    fn boxed<'f>(future: impl Future<Output = ()> + 'f) -> Pin<Box<dyn Future<Output = ()> + 'f>> {
        Box::pin(future)
    }

    #[test]
    fn sleepers_wake_in_the_order_they_are_due_and_never_early() {
        let (reactor, _wake) = reactor(3);
        let start = Instant::now();
        let woken = RefCell::new(Vec::new());
        let sleep = |worker: usize, milliseconds: u64| {
            let (reactor, woken) = (&reactor, &woken);
            boxed(async move {
                let due = start + Duration::from_millis(milliseconds);
                reactor.sleep_until(worker, due).await;
                assert!(Instant::now() >= due);
                woken.borrow_mut().push(worker);
            })
        };
        let futures = vec![sleep(0, 30), sleep(1, 10), sleep(2, 20)];
        reactor.run(futures, |_| {}).unwrap();
        assert_eq!(*woken.borrow(), [1, 2, 0]);
    }

    #[test]
    fn what_takes_too_long_is_given_up_and_what_does_not_is_finished() {
        let (reactor, _wake) = reactor(2);
        let soon = Instant::now() + Duration::from_millis(20);
        let late = Instant::now() + Duration::from_secs(3600);
        let results = RefCell::new(Vec::new());
        let endless = boxed(async {
            let result = reactor
                .within(0, Some(soon), std::future::pending::<()>())
                .await;
            results.borrow_mut().push(result);
        });
        let short = boxed(async {
            let result = reactor
                .within(1, Some(late), reactor.sleep_until(1, soon))
                .await;
            results.borrow_mut().push(result);
        });
        reactor.run(vec![endless, short], |_| {}).unwrap();
        let mut results = results.into_inner();
        results.sort_by_key(Result::is_err);
        assert_eq!(results, [Ok(()), Err(Stopped::Deadline)]);
    }

    #[test]
    fn a_wake_up_may_cancel_those_who_sleep_and_those_who_wait() {
        let (reactor, wake) = reactor(2);
        let far = Instant::now() + Duration::from_secs(3600);
        let asleep = boxed(async {
            reactor.sleep_until(0, far).await;
            assert!(reactor.is_cancelled());
        });
        let waiting = boxed(async {
            let result = reactor.within(1, None, std::future::pending::<()>()).await;
            assert_eq!(result, Err(Stopped::Cancelled));
        });
        rustix::io::write(&*wake, &1u64.to_ne_bytes()).unwrap();
        reactor.run(vec![asleep, waiting], Reactor::cancel).unwrap();
    }
}

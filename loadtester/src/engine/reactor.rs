//! A small executor for many workers on one thread: epoll for sockets, nanosecond timers for schedules.
//!
//! General runtimes tick in milliseconds, which bunches requests that should leave evenly, and pay for wake-ups
//! between threads that workers never need. Here a worker is a future that is polled when its socket is ready, its
//! timer is due, its deadline has passed, or the run is cancelled; there are no wakers. A socket is registered
//! once, edge-triggered, so a request costs one write, one read, and its part of one wait.
//!
//! Each worker has a timer of the kernel's for itself. One for all of them would have to be set anew at every beat, for a
//! moment that nothing else of the machine waits for, and that reaches down to the hardware: under a hypervisor half
//! the cost of a beat. With several, the next beat's is set already when one is over, and a later one is only a note.

use std::cell::{Cell, RefCell};
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

use super::patience::Patience;
use super::runtime::{Runtime, Stopped};

const EVENTS_AT_ONCE: usize = 256;
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// What an event is about.
#[derive(Clone, Copy)]
enum Source {
    /// The wake-up descriptor.
    Wake,
    /// The timer of the deadlines.
    Deadlines,
    /// The socket of a worker.
    Socket(usize),
    /// The timer of a worker.
    Timer(usize),
}

impl Source {
    fn to_data(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Wake => 0,
            Self::Deadlines => 1,
            Self::Socket(worker) => 2 + 2 * worker as u64,
            Self::Timer(worker) => 3 + 2 * worker as u64,
        })
    }

    fn of_data(data: epoll::EventData) -> Self {
        match data.u64() {
            0 => Self::Wake,
            1 => Self::Deadlines,
            socket if socket % 2 == 0 => Self::Socket((socket as usize - 2) / 2),
            timer => Self::Timer((timer as usize - 3) / 2),
        }
    }
}

/// Sockets, timers and deadlines of the workers of one thread.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    workers: Vec<Worker>,
    /// Fires at `next_deadline`.
    deadlines: Timer,
    /// No deadline passes before this; later ones are not kept in order, as almost none is ever reached.
    next_deadline: Cell<Option<Instant>>,
    cancelled: Cell<bool>,
    /// Workers that could go on at once and let others go first.
    again: RefCell<Vec<usize>>,
}

struct Worker {
    ready: Cell<bool>,
    timer: Timer,
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
        epoll::add(&epoll, &*wake, Source::Wake.to_data(), EventFlags::IN)?;
        let timer = |source| Timer::new(&epoll, source);
        let worker = |worker| {
            Ok(Worker {
                ready: Cell::new(false),
                timer: timer(Source::Timer(worker))?,
                timer_fired: Cell::new(false),
                deadline: Cell::new(None),
                expired: Cell::new(false),
            })
        };
        Ok(Self {
            wake,
            workers: (0..workers).map(worker).collect::<io::Result<_>>()?,
            deadlines: timer(Source::Deadlines)?,
            next_deadline: Cell::new(None),
            cancelled: Cell::new(false),
            again: RefCell::default(),
            epoll,
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
            Source::Socket(worker).to_data(),
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

    /// Waits until the thread's other workers and the timers have had their turn.
    pub(crate) fn let_others(&self, worker: usize) -> impl Future<Output = ()> {
        let mut waited = false;
        poll_fn(move |_| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            self.again.borrow_mut().push(worker);
            Poll::Pending
        })
    }

    /// Makes every worker stop where it waits.
    pub(crate) fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// Runs the futures to their ends, with `patience` if the thread shall look out before it sleeps. `on_wake` is
    /// called after each write to the wake-up descriptor.
    ///
    /// # Errors
    /// Waiting for events fails.
    pub(crate) fn run<'f>(
        &'f self,
        futures: Vec<Pin<Box<dyn Future<Output = ()> + 'f>>>,
        mut patience: Option<Patience>,
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
            let others_first = !self.again.borrow().is_empty();
            let seen = match &mut patience {
                _ if others_first => {
                    self.wait(&mut events, Some(&AT_ONCE))?;
                    true
                }
                Some(patience) => patience.look_out(|| self.wait(&mut events, Some(&AT_ONCE)))?,
                None => false,
            };
            if !seen {
                self.wait(&mut events, None)?;
            }
            for event in events.drain(..) {
                match Source::of_data(event.data) {
                    Source::Socket(worker) => {
                        self.workers[worker].ready.set(true);
                        running.poll(&mut slots[worker]);
                    }
                    Source::Timer(worker) => {
                        self.workers[worker].timer_fired.set(true);
                        running.poll(&mut slots[worker]);
                    }
                    Source::Deadlines => {
                        self.expire_deadlines(|worker| running.poll(&mut slots[worker]));
                    }
                    Source::Wake => {
                        let mut count = [0; 8];
                        // Nothing to read means that somebody else saw it: the call back is due all the same.
                        let _ = rustix::io::read(&*self.wake, &mut count);
                        on_wake(self);
                        if self.cancelled.get() {
                            slots.iter_mut().for_each(|slot| running.poll(slot));
                        }
                    }
                }
            }
            for worker in self.again.take() {
                running.poll(&mut slots[worker]);
            }
        }
        Ok(())
    }

    /// Waits for events, for ever if no `timeout` is given, and tells whether there are any.
    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) -> io::Result<bool> {
        match epoll::wait(&self.epoll, spare_capacity(events), timeout) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends what has taken too long. Most often nothing has: what the timer was set for was over in time.
    fn expire_deadlines(&self, mut poll: impl FnMut(usize)) {
        let now = Instant::now();
        let open = self
            .workers
            .iter()
            .filter_map(|worker| worker.deadline.get());
        let next = open.filter(|deadline| *deadline > now).min();
        self.next_deadline.set(next);
        if let Some(next) = next {
            self.deadlines.set(next);
        }
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
            self.deadlines.set(deadline);
        }
    }
}

/// A timer of the kernel's, exact to nanoseconds; the timeout of a wait would be rounded to milliseconds.
struct Timer(OwnedFd);

impl Timer {
    fn new(epoll: &OwnedFd, source: Source) -> io::Result<Self> {
        use epoll::EventFlags;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: setting it anew clears it, so it never needs to be read.
        epoll::add(
            epoll,
            &timer,
            source.to_data(),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Self(timer))
    }

    fn set(&self, at: Instant) {
        // Zero would disarm it.
        let left = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        let set = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once);
        debug_assert!(set.is_ok(), "a timer of our own takes any valid time");
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
        let worker = &self.workers[worker];
        worker.timer_fired.set(false);
        worker.timer.set(at);
        poll_fn(|_| {
            let over = worker.timer_fired.take() || self.cancelled.get();
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
    fn sleepers_wake_when_they_are_due_and_never_early() {
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
        reactor
            .run(futures, Some(Patience::for_connections(1)), |_| {})
            .unwrap();
        let mut woken = woken.into_inner();
        woken.sort_unstable();
        assert_eq!(woken, [0, 1, 2]);
    }

    #[test]
    fn who_could_always_go_on_lets_sleepers_wake() {
        let (reactor, _wake) = reactor(2);
        let woken = Cell::new(false);
        let start = Instant::now();
        let busy = boxed(async {
            while !woken.get() {
                assert!(start.elapsed() < Duration::from_secs(30), "never woken");
                reactor.let_others(0).await;
            }
        });
        let asleep = boxed(async {
            let soon = start + Duration::from_millis(20);
            reactor.sleep_until(1, soon).await;
            woken.set(true);
        });
        reactor.run(vec![busy, asleep], None, |_| {}).unwrap();
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
        reactor.run(vec![endless, short], None, |_| {}).unwrap();
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
        reactor
            .run(
                vec![asleep, waiting],
                Some(Patience::for_connections(1)),
                Reactor::cancel,
            )
            .unwrap();
    }
}

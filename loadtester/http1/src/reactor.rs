//! An executor for many futures on one thread: epoll for sockets, nanosecond timers for schedules.
//!
//! General runtimes tick in milliseconds, which bunches requests that should leave evenly, and they pay for wake-ups between
//! threads that a load generator does not need. Here a worker is a future. It is polled when its socket is ready, its timer
//! is due, its deadline has passed, or the run is cancelled; there are no wakers. A socket is registered once,
//! edge-triggered, so a request costs one write, one read, and its share of one wait.
//!
//! Each worker has its own kernel timer. A shared timer would have to be set again at every beat, for a moment that nothing else
//! on the machine waits for. Such a change reaches the hardware timer, which under a hypervisor is half the
//! cost of a beat. With a timer for each worker, the next beat's timer is already set when one fires.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};

use crate::spin::Spin;
use crate::timer::Timer;
use crate::wake::Wake;

const EVENTS_AT_ONCE: usize = 256;
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The future of one worker.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Why [`Reactor::within`] gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The deadline passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
}

/// The source of an event.
#[derive(Clone, Copy)]
enum Source {
    /// Another thread.
    Wake,
    /// The timer for the deadlines.
    Deadlines,
    /// A worker's socket.
    Socket(usize),
    /// A worker's timer.
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
pub struct Reactor {
    epoll: OwnedFd,
    wake: Wake,
    workers: Vec<Worker>,
    /// Fires at `next_deadline`.
    deadlines: Timer,
    /// The earliest deadline. Later ones are not kept in order, because almost none is ever reached.
    next_deadline: Cell<Option<Instant>>,
    cancelled: Cell<bool>,
    /// Workers that yielded and can go on at once.
    yielded: RefCell<Vec<usize>>,
}

struct Worker {
    ready: Cell<bool>,
    timer: Timer,
    timer_fired: Cell<bool>,
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
}

impl Reactor {
    /// A reactor for `workers` futures; `wake` makes [`Reactor::run`] call back.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new(workers: usize, wake: Wake) -> io::Result<Self> {
        use epoll::EventFlags;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, Source::Wake.to_data(), EventFlags::IN)?;
        let timer = |source: Source| Timer::new(&epoll, source.to_data());
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
            yielded: RefCell::default(),
            epoll,
        })
    }

    /// Registers a worker's socket until it is closed.
    ///
    /// # Errors
    /// The system refuses.
    pub fn register(&self, worker: usize, socket: impl AsFd) -> io::Result<()> {
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
    pub fn ready(&self, worker: usize) -> impl Future<Output = ()> {
        poll_fn(move |_| {
            if self.workers[worker].ready.take() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    /// Lets the thread's other workers and the timers go first.
    pub fn yield_now(&self, worker: usize) -> impl Future<Output = ()> {
        let mut waited = false;
        poll_fn(move |_| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            self.yielded.borrow_mut().push(worker);
            Poll::Pending
        })
    }

    /// Makes every worker stop where it waits.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    /// True once [`Reactor::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Waits until `at`. Returns at once if that has passed, and early when the run is cancelled.
    pub async fn sleep_until(&self, worker: usize, at: Instant) {
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

    /// Runs `future` until it ends, `deadline` passes or the run is cancelled.
    ///
    /// # Errors
    /// The future did not end.
    pub async fn within<F: Future>(
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

    /// Runs the futures, one for each worker, until all have ended. With `spin`, the thread polls before it blocks.
    /// `on_wake` is called after each [`Wake::wake`].
    ///
    /// # Errors
    /// Waiting for events fails.
    pub fn run<'f>(
        &'f self,
        futures: Vec<Task<'f>>,
        mut spin: Option<Spin>,
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
            let some_yielded = !self.yielded.borrow().is_empty();
            let found = match &mut spin {
                _ if some_yielded => {
                    self.wait(&mut events, Some(&AT_ONCE))?;
                    true
                }
                Some(spin) => spin.run(|| self.wait(&mut events, Some(&AT_ONCE)))?,
                None => false,
            };
            if !found {
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
                        self.wake.clear();
                        on_wake(self);
                        if self.cancelled.get() {
                            slots.iter_mut().for_each(|slot| running.poll(slot));
                        }
                    }
                }
            }
            for worker in self.yielded.take() {
                running.poll(&mut slots[worker]);
            }
        }
        Ok(())
    }

    /// Waits for events, without limit if there is no `timeout`; true if there are any.
    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) -> io::Result<bool> {
        match epoll::wait(&self.epoll, spare_capacity(events), timeout) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends futures that have passed their deadline. Mostly there are none: the timer was set for a request that ended in time.
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

struct Running<'c> {
    context: Context<'c>,
    left: usize,
}

impl Running<'_> {
    fn poll(&mut self, slot: &mut Option<Task<'_>>) {
        if let Some(future) = slot
            && future.as_mut().poll(&mut self.context).is_ready()
        {
            *slot = None;
            self.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reactor(workers: usize) -> (Reactor, Wake) {
        let wake = Wake::new().unwrap();
        (Reactor::new(workers, wake.clone()).unwrap(), wake)
    }

    fn boxed<'f>(future: impl Future<Output = ()> + 'f) -> Task<'f> {
        Box::pin(future)
    }

    #[test]
    fn sleepers_wake_in_time_and_never_early() {
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
            .run(futures, Some(Spin::for_connections(1)), |_| {})
            .unwrap();
        let mut woken = woken.into_inner();
        woken.sort_unstable();
        assert_eq!(woken, [0, 1, 2]);
    }

    #[test]
    fn a_worker_that_yields_lets_sleepers_wake() {
        let (reactor, _wake) = reactor(2);
        let woken = Cell::new(false);
        let start = Instant::now();
        let busy = boxed(async {
            while !woken.get() {
                assert!(start.elapsed() < Duration::from_secs(30), "never woken");
                reactor.yield_now(0).await;
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
    fn a_future_past_its_deadline_is_given_up_and_others_finish() {
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
    fn a_wake_up_can_cancel_sleeping_and_waiting_workers() {
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
        wake.wake();
        reactor
            .run(
                vec![asleep, waiting],
                Some(Spin::for_connections(1)),
                Reactor::cancel,
            )
            .unwrap();
    }
}

//! A timer of the kernel's.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// A timer with nanosecond resolution; the timeout of `epoll_wait` is rounded to milliseconds.
pub(crate) struct Timer(OwnedFd);

impl Timer {
    /// A timer whose events in `epoll` carry `data`.
    pub(crate) fn new(epoll: &OwnedFd, data: epoll::EventData) -> io::Result<Self> {
        use epoll::EventFlags;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: setting the timer again clears it, so it never has to be read.
        epoll::add(epoll, &timer, data, EventFlags::IN | EventFlags::ET)?;
        Ok(Self(timer))
    }

    /// Fires once, at `at` or at once if that has passed.
    pub(crate) fn set(&self, at: Instant) {
        // Zero would disarm it.
        let left = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(left),
        };
        let set = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once);
        debug_assert!(set.is_ok(), "an open timer accepts any valid time");
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

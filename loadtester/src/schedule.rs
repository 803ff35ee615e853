//! When each request is due and when to stop. Pure: the caller passes the time in.
//!
//! Times are offsets from the start of the run. A late beat is not dropped: the worker sends at once and catches up as fast
//! as the target allows.

use std::time::Duration;

/// How requests are spread over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// Each worker sends as soon as it has its last response.
    Unpaced,
    /// Each worker sends at this rate per second; workers are staggered evenly within one period.
    PerWorker(f64),
    /// All workers together send at this rate per second; a free worker takes the next beat.
    Total(f64),
}

impl Pacing {
    /// Requests per second of `workers` together, if limited.
    pub fn total_rate(self, workers: usize) -> Option<f64> {
        match self {
            Self::Unpaced => None,
            Self::PerWorker(rate) => Some(rate * workers as f64),
            Self::Total(rate) => Some(rate),
        }
    }
}

/// When a run ends. Recording starts after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    /// Total number of recorded requests.
    pub requests: Option<u64>,
    /// Time after the warm-up in which requests start.
    pub duration: Option<Duration>,
    /// Time before recording starts.
    pub warmup: Duration,
}

/// A worker's next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Send one request.
    Send {
        /// When the request is due; `None` means at once.
        due: Option<Duration>,
        /// True if its result is recorded.
        recorded: bool,
    },
    /// No more requests.
    Stop,
}

/// The schedule of one thread: its workers, their beats and its share of the requests.
#[derive(Clone, Debug)]
pub struct Schedule {
    beats: Beats,
    remaining: Option<u64>,
    warmup: Duration,
    end: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Beats {
    Unpaced,
    /// For each worker, its phase (a fraction of the period) and the number of beats taken.
    PerWorker {
        rate: f64,
        workers: Vec<(f64, u64)>,
    },
    /// The next beat of the thread is beat `first + taken * step` of the run.
    Total {
        rate: f64,
        first: u64,
        step: u64,
        taken: u64,
    },
}

/// Number of workers of thread `thread`, if `workers` are spread over `threads` round robin.
pub fn workers_of(thread: usize, threads: usize, workers: usize) -> usize {
    workers / threads + usize::from(thread < workers % threads)
}

impl Schedule {
    /// The schedule of thread `thread` of `threads`. Its worker `w` is worker `thread + w * threads` of the run.
    pub fn new(
        pacing: Pacing,
        limit: Limit,
        workers: usize,
        thread: usize,
        threads: usize,
    ) -> Self {
        let own = workers_of(thread, threads, workers);
        let beats = match pacing {
            Pacing::Unpaced => Beats::Unpaced,
            Pacing::PerWorker(rate) => Beats::PerWorker {
                rate,
                workers: (0..own)
                    .map(|w| ((thread + w * threads) as f64 / workers as f64, 0))
                    .collect(),
            },
            Pacing::Total(rate) => Beats::Total {
                rate,
                first: thread as u64,
                step: threads as u64,
                taken: 0,
            },
        };
        let remaining = limit.requests.map(|n| {
            // A thread takes every `threads`th beat and so must send their requests, or the rate would fall near the end.
            if let Pacing::Total(_) = pacing {
                return (n + (threads - 1 - thread) as u64) / threads as u64;
            }
            // Worker i of the run sends one more if i < n % workers, so that the shares add up to exactly n.
            let (each, left) = (n / workers as u64, (n % workers as u64) as usize);
            let with_one_more = (0..own).filter(|w| thread + w * threads < left).count();
            each * own as u64 + with_one_more as u64
        });
        Self {
            beats,
            remaining,
            warmup: limit.warmup,
            end: limit.duration.map(|duration| limit.warmup + duration),
        }
    }

    /// The next step of `worker` of this thread at `now`.
    pub fn next(&mut self, worker: usize, now: Duration) -> Next {
        let due = self.beats.peek(worker);
        let at = due.unwrap_or(now);
        let over = |time: Duration| self.end.is_some_and(|end| time >= end);
        if over(at) || over(now) || self.remaining == Some(0) {
            return Next::Stop;
        }
        self.beats.take(worker);
        let recorded = at >= self.warmup;
        if recorded && let Some(remaining) = &mut self.remaining {
            *remaining -= 1;
        }
        Next::Send { due, recorded }
    }

    /// Number of beats after the warm-up that were due by the end (by `now` if the run ends early) but not sent, because every
    /// worker was waiting for a response.
    pub fn unsent(&self, now: Duration) -> u64 {
        if self.remaining == Some(0) {
            return 0;
        }
        let until = self.end.map_or(now, |end| end.min(now));
        let due = self.beats.due_before(until);
        let recorded = due.saturating_sub(self.beats.due_before(self.warmup));
        recorded.min(self.remaining.unwrap_or(u64::MAX))
    }
}

impl Beats {
    /// The offset of the next beat of `worker`.
    fn peek(&self, worker: usize) -> Option<Duration> {
        match self {
            Self::Unpaced => None,
            Self::PerWorker { rate, workers } => {
                let (phase, taken) = workers[worker];
                Some(offset(taken as f64 + phase, *rate))
            }
            Self::Total {
                rate,
                first,
                step,
                taken,
            } => Some(offset((first + taken * step) as f64, *rate)),
        }
    }

    fn take(&mut self, worker: usize) {
        match self {
            Self::Unpaced => {}
            Self::PerWorker { workers, .. } => workers[worker].1 += 1,
            Self::Total { taken, .. } => *taken += 1,
        }
    }

    /// Number of beats before `end` that are not taken yet.
    fn due_before(&self, end: Duration) -> u64 {
        match self {
            Self::Unpaced => 0,
            Self::PerWorker { rate, workers } => workers
                .iter()
                .map(|(phase, taken)| beats_before(end, *taken as f64 + phase, 1.0, *rate))
                .sum(),
            Self::Total {
                rate,
                first,
                step,
                taken,
            } => beats_before(end, (first + taken * step) as f64, *step as f64, *rate),
        }
    }
}

/// When beat `beat` is due. Beats count from 0; with a worker's phase they are fractions.
fn offset(beat: f64, rate: f64) -> Duration {
    // Multiplied before it is divided: beat 29 at 29 per second must be due at exactly one second.
    Duration::from_nanos((beat * 1e9 / rate).round() as u64)
}

/// Number of the beats `first`, `first + step`, … before `end`.
fn beats_before(end: Duration, first: f64, step: f64, rate: f64) -> u64 {
    let is_before = |n: u64| offset(first + n as f64 * step, rate) < end;
    // Division may be off by rounding, so `offset`, which decides when beats are sent, has the last word.
    let mut count = ((end.as_secs_f64() * rate - first) / step).max(0.0) as u64;
    while is_before(count) {
        count += 1;
    }
    while count > 0 && !is_before(count - 1) {
        count -= 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Due times of the recorded requests, with every thread's schedule and responses that take no time.
    fn sent(pacing: Pacing, limit: Limit, workers: usize, threads: usize) -> Vec<Duration> {
        let mut dues = Vec::new();
        for thread in 0..threads {
            let mut schedule = Schedule::new(pacing, limit, workers, thread, threads);
            for worker in 0..workers_of(thread, threads, workers) {
                while let Next::Send { due, recorded } = schedule.next(worker, Duration::ZERO) {
                    dues.extend(recorded.then(|| due.unwrap_or_default()));
                }
            }
            assert_eq!(schedule.unsent(Duration::MAX), 0);
        }
        dues.sort();
        dues
    }

    #[test]
    fn two_workers_at_a_thousand_per_second_send_twenty_thousand_evenly_spaced_in_ten_seconds() {
        let limit = Limit {
            duration: Some(10 * SECOND),
            ..Limit::default()
        };
        for threads in [1, 2] {
            let dues = sent(Pacing::PerWorker(1000.0), limit, 2, threads);
            assert_eq!(dues.len(), 20_000);
            for pair in dues.windows(2) {
                assert_eq!(pair[1] - pair[0], Duration::from_micros(500));
            }
        }
    }

    #[test]
    fn beats_without_a_free_worker_are_counted() {
        let limit = Limit {
            duration: Some(SECOND),
            ..Limit::default()
        };
        for pacing in [Pacing::Total(100.0), Pacing::PerWorker(100.0)] {
            let mut schedule = Schedule::new(pacing, limit, 1, 0, 1);
            assert!(matches!(
                schedule.next(0, Duration::ZERO),
                Next::Send { .. }
            ));
            let half = SECOND / 2;
            assert_eq!(schedule.unsent(half), 49, "ended early");
            assert_eq!(schedule.next(0, 2 * SECOND), Next::Stop);
            assert_eq!(schedule.unsent(2 * SECOND), 99);
        }
    }

    #[test]
    fn beats_of_the_warm_up_do_not_count_as_unsent() {
        let limit = Limit {
            duration: Some(5 * SECOND),
            warmup: 5 * SECOND,
            ..Limit::default()
        };
        for pacing in [Pacing::Total(100.0), Pacing::PerWorker(100.0)] {
            let mut schedule = Schedule::new(pacing, limit, 1, 0, 1);
            for _ in 0..100 {
                schedule.next(0, SECOND);
            }
            // The last response comes a second after the end.
            assert_eq!(schedule.next(0, 11 * SECOND), Next::Stop);
            assert_eq!(schedule.unsent(11 * SECOND), 500);
        }
    }

    #[test]
    fn a_total_rate_is_kept_up_to_the_last_request() {
        for (n, workers, threads) in [(900, 3, 2), (10, 7, 3), (2, 3, 3)] {
            let limit = Limit {
                requests: Some(n),
                ..Limit::default()
            };
            let dues = sent(Pacing::Total(10.0), limit, workers, threads);
            let even: Vec<_> = (0..n).map(|beat| SECOND * beat as u32 / 10).collect();
            assert_eq!(dues, even, "{n} {workers} {threads}");
        }
    }

    #[test]
    fn a_late_beat_is_sent_with_its_own_due_time() {
        let limit = Limit {
            duration: Some(SECOND),
            ..Limit::default()
        };
        let mut schedule = Schedule::new(Pacing::Total(100.0), limit, 1, 0, 1);
        schedule.next(0, Duration::ZERO);
        let due = Some(Duration::from_millis(10));
        let late = Duration::from_millis(700);
        assert_eq!(
            schedule.next(0, late),
            Next::Send {
                due,
                recorded: true
            }
        );
    }

    #[test]
    fn warm_up_requests_are_neither_recorded_nor_counted() {
        let limit = Limit {
            requests: Some(5),
            duration: None,
            warmup: SECOND,
        };
        let mut schedule = Schedule::new(Pacing::Unpaced, limit, 1, 0, 1);
        for _ in 0..100 {
            let next = schedule.next(0, Duration::from_millis(999));
            assert_eq!(
                next,
                Next::Send {
                    due: None,
                    recorded: false
                }
            );
        }
        for _ in 0..5 {
            assert_eq!(
                schedule.next(0, SECOND),
                Next::Send {
                    due: None,
                    recorded: true
                }
            );
        }
        assert_eq!(schedule.next(0, SECOND), Next::Stop);
    }

    proptest! {
        #[test]
        fn the_count_is_exact_with_any_number_of_workers_and_threads(
            n in 0u64..2000, workers in 1usize..60, threads in 1usize..8,
        ) {
            let limit = Limit { requests: Some(n), ..Limit::default() };
            for pacing in [Pacing::Unpaced, Pacing::PerWorker(10.0), Pacing::Total(10.0)] {
                prop_assert_eq!(sent(pacing, limit, workers, threads.min(workers)).len() as u64, n);
            }
        }

        #[test]
        fn rate_times_duration_requests_are_due_with_any_number_of_workers_and_threads(
            rate in 1u32..700, seconds in 1u32..4, workers in 1usize..8, threads in 1usize..5,
        ) {
            let limit = Limit { duration: Some(SECOND * seconds), ..Limit::default() };
            let threads = threads.min(workers);
            let total = sent(Pacing::Total(f64::from(rate)), limit, workers, threads);
            prop_assert_eq!(total.len(), (rate * seconds) as usize);
            let per_worker = sent(Pacing::PerWorker(f64::from(rate)), limit, workers, threads);
            prop_assert_eq!(per_worker.len(), (rate * seconds) as usize * workers);
        }
    }
}

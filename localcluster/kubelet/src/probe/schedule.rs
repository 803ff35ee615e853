//! Timing and thresholds of probes. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

/// Shortest retry interval before the first success.
const QUICK: Duration = Duration::from_millis(25);
/// Longest retry interval before the first success.
const SLOWEST_QUICK: Duration = Duration::from_secs(1);

/// Kind of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds the other probes back until it succeeds. A failure kills the container.
    Startup,
    /// Decides whether the pod receives traffic.
    Readiness,
    /// A failure kills the container.
    Liveness,
}

impl Kind {
    /// The name used in events.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// Outcome of a probe after its threshold is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `successThreshold` successes in a row.
    Success,
    /// `failureThreshold` failures in a row.
    Failure,
}

/// State of one probe of one container.
///
/// Until its first success, a startup or readiness probe runs more often than `periodSeconds`:
/// every 25 ms at first, slowing down to once a second. A container thus becomes ready without
/// waiting for the next period. The budget does not change: the probe fails once
/// `failureThreshold` periods have passed. After the first success, and always for liveness,
/// `periodSeconds` applies.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    kind: Kind,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    successes: u32,
    failures: u32,
    attempts: u32,
    ever_succeeded: bool,
    /// Number of failed periods reported before the first success.
    reported: u32,
}

impl Schedule {
    pub(crate) fn new(kind: Kind, probe: &Probe) -> Self {
        let positive = |value: Option<i32>, default: u32| {
            value
                .and_then(|value| u32::try_from(value).ok())
                .filter(|value| *value > 0)
                .unwrap_or(default)
        };
        let seconds = |value: u32| Duration::from_secs(value.into());
        Self {
            kind,
            initial_delay: seconds(positive(probe.initial_delay_seconds, 0)),
            period: seconds(positive(probe.period_seconds, 10)),
            timeout: seconds(positive(probe.timeout_seconds, 1)),
            success_threshold: positive(probe.success_threshold, 1),
            failure_threshold: positive(probe.failure_threshold, 3),
            successes: 0,
            failures: 0,
            attempts: 0,
            ever_succeeded: false,
            reported: 0,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Time limit of one attempt.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn is_quick(&self) -> bool {
        !self.ever_succeeded && self.kind != Kind::Liveness
    }

    /// Delay before the next attempt.
    pub(crate) fn next_delay(&self) -> Duration {
        match self.attempts {
            0 => self.initial_delay,
            attempts if self.is_quick() => {
                let quick = QUICK.saturating_mul(1 << ((attempts - 1) / 8).min(10));
                quick.min(SLOWEST_QUICK).min(self.period)
            }
            _ => self.period,
        }
    }

    /// Records one result, `elapsed` after the first attempt began. Returns the verdict, if a
    /// threshold is reached, and whether to report the failure as an event.
    pub(crate) fn record(&mut self, success: bool, elapsed: Duration) -> (Option<Verdict>, bool) {
        self.attempts += 1;
        if success {
            self.ever_succeeded = true;
            self.failures = 0;
            self.successes += 1;
            return (
                (self.successes >= self.success_threshold).then_some(Verdict::Success),
                false,
            );
        }
        self.successes = 0;
        if self.is_quick() {
            let periods = u32::try_from(elapsed.as_millis() / self.period.as_millis().max(1))
                .unwrap_or(u32::MAX);
            let report = periods > self.reported;
            self.reported = self.reported.max(periods);
            return (
                (periods >= self.failure_threshold).then_some(Verdict::Failure),
                report,
            );
        }
        self.failures += 1;
        (
            (self.failures >= self.failure_threshold).then_some(Verdict::Failure),
            true,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Probe = Probe {
        period_seconds: Some(10),
        failure_threshold: Some(2),
        success_threshold: Some(1),
        initial_delay_seconds: Some(3),
        timeout_seconds: Some(2),
        exec: None,
        grpc: None,
        http_get: None,
        tcp_socket: None,
        termination_grace_period_seconds: None,
    };

    fn seconds(value: u64) -> Duration {
        Duration::from_secs(value)
    }

    #[test]
    fn retries_are_quick_after_the_initial_delay_until_the_first_success() {
        let mut probe = Schedule::new(Kind::Readiness, &LONG);
        assert_eq!(probe.next_delay(), seconds(3));
        let mut waited = Duration::ZERO;
        for _ in 0..8 {
            assert_eq!(probe.record(false, waited), (None, false));
            waited += probe.next_delay();
        }
        assert!(waited <= Duration::from_millis(250), "{waited:?}");
        for _ in 0..100 {
            probe.record(false, waited);
            assert!(probe.next_delay() <= seconds(1));
        }
        assert_eq!(probe.record(true, waited).0, Some(Verdict::Success));
        assert_eq!(probe.next_delay(), seconds(10));
    }

    #[test]
    fn a_startup_probe_has_all_its_periods_before_it_fails() {
        let mut probe = Schedule::new(Kind::Startup, &LONG);
        assert_eq!(probe.record(false, seconds(1)), (None, false));
        assert_eq!(
            probe.record(false, seconds(10)),
            (None, true),
            "one period has passed"
        );
        assert_eq!(
            probe.record(false, seconds(11)),
            (None, false),
            "a period is reported once"
        );
        assert_eq!(
            probe.record(false, seconds(20)),
            (Some(Verdict::Failure), true)
        );
    }

    #[test]
    fn thresholds_count_consecutive_results() {
        let mut probe = Schedule::new(Kind::Liveness, &LONG);
        assert_eq!(probe.record(true, seconds(0)).0, Some(Verdict::Success));
        assert_eq!(probe.record(false, seconds(0)), (None, true));
        assert_eq!(probe.record(true, seconds(0)).0, Some(Verdict::Success));
        assert_eq!(probe.record(false, seconds(0)).0, None);
        assert_eq!(probe.record(false, seconds(0)).0, Some(Verdict::Failure));
        assert_eq!(probe.next_delay(), seconds(10));
    }

    #[test]
    fn the_success_threshold_is_respected() {
        let mut probe = Schedule::new(
            Kind::Readiness,
            &Probe {
                success_threshold: Some(2),
                ..LONG
            },
        );
        assert_eq!(probe.record(true, seconds(0)).0, None);
        assert_eq!(probe.record(true, seconds(0)).0, Some(Verdict::Success));
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let probe = Schedule::new(Kind::Liveness, &Probe::default());
        assert_eq!(
            (probe.initial_delay, probe.period, probe.timeout),
            (seconds(0), seconds(10), seconds(1))
        );
        assert_eq!((probe.success_threshold, probe.failure_threshold), (1, 3));
    }
}

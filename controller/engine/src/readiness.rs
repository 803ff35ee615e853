//! Readiness of a workload for its share of the traffic (Flagger's rules for a Deployment).

use std::time::Duration;

use jiff::Timestamp;

use crate::observed::Workload;

/// A shorter wait is not reported: pods take a moment to start, and a controller takes one to observe a change.
pub(crate) const BRIEF: Duration = Duration::from_secs(5);

/// Time for which a generation that is not observed yet may stay behind before that is reported; `None` if it is
/// observed, or has been behind for too long already.
pub(crate) fn brief_lag(workload: &Workload, now: Timestamp) -> Option<Duration> {
    let since = workload
        .behind_since
        .filter(|_| !workload.generation_observed)?;
    BRIEF
        .checked_sub(elapsed(now, since)?)
        .filter(|left| !left.is_zero())
}

/// Whether each side is ready for its share of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Of the primary. One that does not exist is not ready.
    pub primary: bool,
    /// Of the target.
    pub target: bool,
}

/// Readiness of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Rolled out, and enough replicas are available.
    Ready,
    /// Not ready yet; with what is missing.
    Waiting(String),
    /// Not ready, and its progress deadline has passed; with what is missing.
    Stuck(String),
}

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        *self == Readiness::Ready
    }
}

/// Number of replicas that must be available for `percent` of `of`. It is rounded up, so that any percentage above zero
/// needs at least one replica. (Flagger truncates, so that 50 percent of one replica needs none.) [`readiness`] needs
/// one even for zero percent.
pub(crate) fn replicas_needed(of: u32, percent: u8) -> u32 {
    let needed = (u64::from(of) * u64::from(percent)).div_ceil(100);
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// The readiness of `workload`, which has `name` in the text. `began` is the start of its current rollout, if known.
/// The order of the rules and the texts are Flagger's: generation, progress deadline, updated, terminating, available.
pub(crate) fn readiness(
    workload: &Workload,
    name: &str,
    percent: u8,
    deadline: Duration,
    began: Option<Timestamp>,
    now: Timestamp,
) -> Readiness {
    let Workload {
        replicas_wanted,
        replicas,
        updated,
        available,
        ..
    } = *workload;
    if !workload.generation_observed {
        // The conditions are about an older generation, so they show no deadline.
        return Readiness::Waiting(
            "waiting for rollout to finish: observed deployment generation less than desired generation"
                .to_owned(),
        );
    }
    if replicas_wanted == 0 {
        // Zero of zero replicas serve nobody. (Flagger takes such a canary as ready.)
        return Readiness::Waiting("it is scaled to zero".to_owned());
    }
    if is_exceeded(workload, deadline, began, now) {
        return Readiness::Stuck(format!(
            "deployment \"{name}\" exceeded its progress deadline"
        ));
    }
    let missing = if updated < replicas_wanted {
        format!("{updated} out of {replicas_wanted} new replicas have been updated")
    } else if replicas > updated {
        format!(
            "{} old replicas are pending termination",
            replicas - updated
        )
    } else if available < replicas_needed(updated, percent).max(1) {
        format!(
            "{available} of {updated} (readyThreshold {percent}%) updated replicas are available"
        )
    } else {
        return Readiness::Ready;
    };
    let text = format!("waiting for rollout to finish: {missing}");
    let overdue = unavailable_since(workload, began)
        .and_then(|since| elapsed(now, since))
        .is_some_and(|unavailable| unavailable > deadline);
    if overdue {
        Readiness::Stuck(text)
    } else {
        Readiness::Waiting(text)
    }
}

/// Whether the workload's own progress deadline has passed in its current rollout. If a workload returns to an earlier
/// template, Kubernetes keeps the condition of the previous rollout until the first new pod exists. Such a condition
/// counts only once a `deadline` has passed since the current rollout `began`.
fn is_exceeded(
    workload: &Workload,
    deadline: Duration,
    began: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let (Some(exceeded), Some(began)) = (workload.deadline_exceeded, began) else {
        return workload.deadline_exceeded.is_some();
    };
    // The times of conditions have whole seconds.
    let is_of_this_rollout = exceeded.as_second() >= began.as_second();
    is_of_this_rollout || elapsed(now, began).is_some_and(|passed| passed > deadline)
}

/// The start of the progress deadline. A workload may have been unavailable long before its current rollout, in which
/// case Kubernetes does not change the condition. So the deadline never starts before the rollout `began`.
pub(crate) fn unavailable_since(
    workload: &Workload,
    began: Option<Timestamp>,
) -> Option<Timestamp> {
    let since = workload.unavailable_since.or(workload.deadline_exceeded);
    since.map(|since| began.map_or(since, |began| since.max(began)))
}

/// Time from `since` to `now`; `None` if `since` is in the future (the clock was set back).
pub(crate) fn elapsed(now: Timestamp, since: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(since)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(600);

    fn workload(wanted: u32, replicas: u32, updated: u32, available: u32) -> Workload {
        Workload {
            replicas_wanted: wanted,
            replicas,
            updated,
            available,
            generation_observed: true,
            ..Workload::default()
        }
    }

    fn judge(workload: &Workload, percent: u8) -> Readiness {
        readiness(
            workload,
            "app",
            percent,
            DEADLINE,
            None,
            "2026-01-01T01:00:00Z".parse().unwrap(),
        )
    }

    #[test]
    fn half_of_one_replica_is_one_replica() {
        assert_eq!(replicas_needed(1, 50), 1);
        assert_eq!(replicas_needed(3, 50), 2);
        assert_eq!(replicas_needed(3, 100), 3);
        assert_eq!(replicas_needed(3, 0), 0);
        assert_eq!(replicas_needed(u32::MAX, 100), u32::MAX);
        assert!(!judge(&workload(1, 1, 1, 0), 50).is_ready());
    }

    #[test]
    fn each_reason_has_flaggers_text() {
        let cases = [
            (
                workload(3, 3, 1, 3),
                "1 out of 3 new replicas have been updated",
            ),
            (
                workload(3, 4, 3, 3),
                "1 old replicas are pending termination",
            ),
            (
                workload(3, 3, 3, 2),
                "2 of 3 (readyThreshold 100%) updated replicas are available",
            ),
        ];
        for (state, expected) in cases {
            let expected = format!("waiting for rollout to finish: {expected}");
            assert_eq!(judge(&state, 100), Readiness::Waiting(expected));
        }
        assert!(judge(&workload(3, 3, 3, 2), 66).is_ready());
    }

    #[test]
    fn a_deadline_of_an_older_generation_is_not_read() {
        let exceeded = Workload {
            deadline_exceeded: Some("2026-01-01T00:59:00Z".parse().unwrap()),
            ..workload(1, 1, 1, 0)
        };
        let expected = "deployment \"app\" exceeded its progress deadline".to_owned();
        assert_eq!(judge(&exceeded, 100), Readiness::Stuck(expected));
        let newer = Workload {
            generation_observed: false,
            ..exceeded
        };
        assert!(matches!(judge(&newer, 100), Readiness::Waiting(_)));
    }

    #[test]
    fn a_deadline_exceeded_before_the_rollout_began_does_not_count() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let exceeded = Workload {
            deadline_exceeded: Some(time("2026-01-01T00:40:00Z")),
            ..workload(1, 1, 0, 1)
        };
        let now = time("2026-01-01T01:00:00Z");
        let judge = |began| readiness(&exceeded, "app", 100, DEADLINE, Some(time(began)), now);
        let waits = Readiness::Waiting(
            "waiting for rollout to finish: 0 out of 1 new replicas have been updated".to_owned(),
        );
        assert_eq!(judge("2026-01-01T00:55:00Z"), waits);
        for began in ["2026-01-01T00:40:00.7Z", "2026-01-01T00:30:00Z"] {
            assert!(
                matches!(judge(began), Readiness::Stuck(_)),
                "of the current rollout: {began}"
            );
        }
        assert!(
            matches!(judge("2026-01-01T00:49:59Z"), Readiness::Stuck(_)),
            "no progress for a deadline since then"
        );
        assert_eq!(
            unavailable_since(&exceeded, Some(time("2026-01-01T00:55:00Z"))),
            Some(time("2026-01-01T00:55:00Z")),
            "the deadline starts with the rollout"
        );
    }

    #[test]
    fn a_workload_unavailable_for_longer_than_the_deadline_is_stuck() {
        let since = |text: &str| Workload {
            unavailable_since: Some(text.parse().unwrap()),
            ..workload(1, 1, 1, 0)
        };
        assert!(matches!(
            judge(&since("2026-01-01T00:49:59Z"), 100),
            Readiness::Stuck(_)
        ));
        assert!(matches!(
            judge(&since("2026-01-01T00:50:01Z"), 100),
            Readiness::Waiting(_)
        ));
        assert!(matches!(
            judge(&since("2027-01-01T00:00:00Z"), 100),
            Readiness::Waiting(_)
        ));
    }

    #[test]
    fn a_generation_that_stays_behind_is_reported() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let behind = |seconds: i64| Workload {
            generation_observed: false,
            behind_since: Some(now - jiff::SignedDuration::from_secs(seconds)),
            ..workload(1, 1, 1, 1)
        };
        assert_eq!(brief_lag(&behind(0), now), Some(BRIEF));
        assert_eq!(brief_lag(&behind(4), now), Some(Duration::from_secs(1)));
        assert_eq!(brief_lag(&behind(5), now), None);
        assert_eq!(brief_lag(&behind(-1), now), None, "the clock was set back");
        let unknown = Workload {
            behind_since: None,
            ..behind(0)
        };
        assert_eq!(brief_lag(&unknown, now), None);
        let observed = Workload {
            generation_observed: true,
            ..behind(0)
        };
        assert_eq!(brief_lag(&observed, now), None);
    }

    #[test]
    fn the_deadline_does_not_start_before_the_rollout() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let down = Workload {
            unavailable_since: Some(time("2026-01-01T00:00:00Z")),
            ..workload(1, 1, 1, 0)
        };
        let now = time("2026-01-01T01:00:00Z");
        let judge = |began| readiness(&down, "app", 100, DEADLINE, Some(time(began)), now);
        assert!(matches!(
            judge("2026-01-01T00:55:00Z"),
            Readiness::Waiting(_)
        ));
        assert!(matches!(judge("2026-01-01T00:45:00Z"), Readiness::Stuck(_)));
    }
}

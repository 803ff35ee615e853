//! The data of a canary on the page and in the JSON API.
//!
//! Times are RFC 3339 in UTC. Weights are percent of requests. Fields may be added, never removed.

use std::collections::BTreeMap;

use canary_engine::phase::Phase;
use jiff::Timestamp;
use serde::Serialize;

use super::history::Moment;
use crate::{
    api::{CanaryStatus, CheckStatus, Condition},
    views::model::View,
};

/// One canary in the list of `/api/canaries`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Namespace of the Canary.
    pub namespace: String,
    /// Name of the Canary.
    pub name: String,
    /// Kind and name of the target.
    pub target: String,
    /// `status.phase`; empty until the controller has reconciled the Canary.
    pub phase: String,
    /// Time at which the phase began.
    pub phase_since: Option<String>,
    /// Traffic split.
    pub weights: Weights,
    /// Images of primary and target.
    pub images: Images,
    /// Digests of pod templates.
    pub revisions: Revisions,
    /// Failed checks of the current run, or of the last one.
    pub failed_checks: i64,
    /// Failed checks at which a release is rolled back.
    pub threshold: i64,
    /// `status.iterations`; 0 for releases by weight.
    pub iterations: i64,
    /// Interval between checks, as written in the Canary.
    pub interval: String,
    /// Whether `spec.suspend` is set.
    pub suspended: bool,
    /// Why the canary does not proceed, if it waits.
    pub waiting: Option<Waiting>,
    /// Time of the last write of the status.
    pub last_transition: Option<String>,
}

/// One canary in full, as served at `/api/canaries/NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The fields that the list has too.
    #[serde(flatten)]
    pub summary: Summary,
    /// All steps of the release.
    pub steps: Vec<Step>,
    /// The latest checks, oldest first.
    pub checks: Vec<CheckStatus>,
    /// `status.conditions`.
    pub conditions: Vec<Condition>,
    /// Status changes that this process has seen, oldest first.
    pub history: Vec<Moment>,
}

/// Traffic split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// Percent to the primary.
    pub primary: u8,
    /// Percent to the canary.
    pub canary: u8,
}

/// Images of the containers, in the order of the pod template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Images {
    /// Images of the primary; empty until it exists.
    pub primary: Vec<String>,
    /// Images of the target: the new version during a release.
    pub target: Vec<String>,
}

/// Digests of pod templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revisions {
    /// The last promoted revision, which the primary runs.
    pub promoted: Option<String>,
    /// The revision of the current release, or of the last one.
    pub applied: Option<String>,
    /// The current revision of the target.
    pub target: Option<String>,
}

/// Why a canary does not proceed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// One of [`WaitingReason`](canary_engine::status::WaitingReason),
    /// [`INVALID`](crate::release::status::INVALID) or [`REFUSED`](crate::release::status::REFUSED).
    pub reason: String,
    /// Explanation for people.
    pub message: String,
}

/// One step of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `Scale up`, the weight, `Promote` or `Scale down`.
    pub name: String,
    /// Weight of the canary, for a step that sets one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Progress.
    pub state: StepState,
}

/// Progress of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Done.
    Done,
    /// In progress.
    Now,
    /// The release failed in this step.
    Ended,
    /// Pending.
    ToCome,
    /// The release failed before this step.
    NotReached,
}

impl Report {
    /// Builds the report of a canary.
    pub(crate) fn new(view: View, history: Vec<Moment>) -> Self {
        let steps = steps(&view);
        let (target, threshold) = (view.target(), i64::from(view.threshold()));
        let interval = view.interval().to_owned();
        let suspended = view.is_suspended();
        let status = view.status;
        let canary = percent(status.canary_weight);
        let waiting = status.waiting.map(|waiting| Waiting {
            reason: waiting.reason,
            message: waiting.message,
        });
        Self {
            summary: Summary {
                namespace: view.namespace,
                name: view.name,
                target,
                phase: status.phase,
                phase_since: status.phase_since,
                weights: Weights {
                    primary: 100 - canary,
                    canary,
                },
                images: Images {
                    primary: view.primary_images,
                    target: view.target_images,
                },
                revisions: Revisions {
                    promoted: status.last_promoted_spec,
                    applied: status.last_applied_spec,
                    target: view.revision,
                },
                failed_checks: status.failed_checks,
                threshold,
                iterations: status.iterations,
                interval,
                suspended,
                waiting,
                last_transition: status.last_transition_time,
            },
            steps,
            checks: status.checks.unwrap_or_default(),
            conditions: status.conditions.unwrap_or_default(),
            history,
        }
    }
}

fn percent(weight: i64) -> u8 {
    u8::try_from(weight.clamp(0, 100)).unwrap_or(0)
}

fn steps(view: &View) -> Vec<Step> {
    let weights: Vec<u8> = view
        .strategy()
        .map(|strategy| strategy.course().map(|at| at.traffic.canary).collect())
        .unwrap_or_default();
    let at = |weight: u8| weights.iter().filter(|step| **step <= weight).count();
    let status = &view.status;
    let (promote, scale_down) = (weights.len() + 1, weights.len() + 2);
    // Steps before `here` are done. Steps after it are pending, or were not reached.
    let (here, state) = match Phase::parse(&status.phase).unwrap_or_default() {
        Phase::None | Phase::Initializing | Phase::Initialized | Phase::Terminating => {
            (0, StepState::ToCome)
        }
        Phase::Waiting => (0, StepState::Now),
        Phase::Progressing => (at(percent(status.canary_weight)), StepState::Now),
        Phase::WaitingPromotion => (weights.len(), StepState::Now),
        Phase::Promoting => (promote, StepState::Now),
        Phase::Finalising => (scale_down, StepState::Now),
        Phase::Succeeded => (scale_down + 1, StepState::Done),
        Phase::Failed => (at(weight_of_last_check(status)), StepState::Ended),
    };
    let named = |name: &str, weight| (name.to_owned(), weight);
    let all = std::iter::once(named("Scale up", None))
        .chain(
            weights
                .iter()
                .map(|weight| (format!("{weight} %"), Some(*weight))),
        )
        .chain([named("Promote", None), named("Scale down", None)]);
    let with_state = all.enumerate().map(|(index, (name, weight))| Step {
        name,
        weight,
        state: match index.cmp(&here) {
            std::cmp::Ordering::Less => StepState::Done,
            std::cmp::Ordering::Equal => state,
            std::cmp::Ordering::Greater if state == StepState::Ended => StepState::NotReached,
            std::cmp::Ordering::Greater => StepState::ToCome,
        },
    });
    with_state.collect()
}

/// Weight at which a failed run ended. `canaryWeight` is already 0 then, but the checks still have it.
fn weight_of_last_check(status: &CanaryStatus) -> u8 {
    let time = |text: &String| text.parse::<Timestamp>().ok();
    let started = status.run_started.as_ref().and_then(time);
    let last = status.checks.iter().flatten().next_back();
    last.filter(|check| time(&check.time) >= started)
        .map_or(0, |check| percent(check.weight))
}

/// The process that serves the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watcher {
    /// Version of the controller.
    pub version: &'static str,
    /// Whether this process is the leader.
    pub leads: bool,
    /// The watched namespace; null for all namespaces.
    pub namespace: Option<String>,
    /// Resources that this process cannot watch at present, and why. The data may be stale then.
    pub problems: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn states(status: CanaryStatus) -> String {
        let view = View {
            spec: serde_json::from_value(json!({
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
                "analysis": { "stepWeight": 10, "maxWeight": 30 },
            }))
            .ok(),
            status,
            ..View::default()
        };
        let states = steps(&view).into_iter().map(|step| match step.state {
            StepState::Done => 'd',
            StepState::Now => 'N',
            StepState::Ended => 'E',
            StepState::NotReached => '-',
            StepState::ToCome => '.',
        });
        states.collect()
    }

    #[test]
    fn steps_follow_phase_and_weight() {
        for (phase, weight, expected) in [
            ("", 0, "......"),
            ("Initialized", 0, "......"),
            ("Waiting", 0, "N....."),
            ("Progressing", 0, "N....."),
            ("Progressing", 10, "dN...."),
            ("Progressing", 25, "ddN..."),
            ("Progressing", 30, "dddN.."),
            ("WaitingPromotion", 30, "dddN.."),
            ("Promoting", 30, "ddddN."),
            ("Finalising", 0, "dddddN"),
            ("Succeeded", 0, "dddddd"),
            ("Failed", 0, "E-----"),
        ] {
            let status = CanaryStatus {
                phase: phase.to_owned(),
                canary_weight: weight,
                ..CanaryStatus::default()
            };
            assert_eq!(states(status), expected, "{phase} {weight}");
        }
    }

    #[test]
    fn a_failed_run_ended_at_the_weight_of_its_last_check() {
        let status = |started: &str| CanaryStatus {
            phase: "Failed".to_owned(),
            run_started: Some(started.to_owned()),
            checks: Some(vec![CheckStatus {
                time: "2023-11-14T22:13:20Z".to_owned(),
                weight: 20,
                ..CheckStatus::default()
            }]),
            ..CanaryStatus::default()
        };
        assert_eq!(states(status("2023-11-14T22:13:00Z")), "ddE---");
        assert_eq!(
            states(status("2023-11-14T22:14:00Z")),
            "E-----",
            "the check is of the previous run"
        );
    }
}

//! The only condition of a Canary, `Promoted`, for `kubectl wait --for=condition=promoted`.

use crate::{canary::TargetKind, phase::Phase, status::Status};

/// Type of the condition.
pub const PROMOTED: &str = "Promoted";

/// The condition `Promoted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// The name of the phase.
    pub reason: &'static str,
    /// Flagger's message.
    pub message: String,
}

/// The condition for a status; `None` before the first phase is written.
///
/// The messages are Flagger's, with one correction: after a failed promotion the canary keeps serving, so the condition
/// does not claim that it was scaled to zero.
#[must_use]
pub fn promoted(status: &Status, kind: TargetKind) -> Option<Condition> {
    let kind = kind.as_str();
    let (state, message) = match status.phase {
        Phase::None => return None,
        Phase::Initializing | Phase::Terminating => (
            "Unknown",
            format!("New {kind} detected, starting initialization."),
        ),
        Phase::Initialized => ("True", format!("{kind} initialization completed.")),
        Phase::Waiting | Phase::WaitingPromotion => ("Unknown", "Waiting for approval.".to_owned()),
        Phase::Progressing => (
            "Unknown",
            "New revision detected, progressing canary analysis.".to_owned(),
        ),
        Phase::Promoting => (
            "Unknown",
            "Canary analysis completed, starting primary rolling update.".to_owned(),
        ),
        Phase::Finalising => (
            "Unknown",
            "Canary analysis completed, routing all traffic to primary.".to_owned(),
        ),
        Phase::Succeeded => (
            "True",
            "Canary analysis completed successfully, promotion finished.".to_owned(),
        ),
        Phase::Failed if status.canary_weight > 0 => (
            "False",
            format!("Release failed, {kind} keeps serving because the primary is not ready."),
        ),
        Phase::Failed if status.cleanup.is_some() => (
            "False",
            format!("Canary analysis failed, {kind} is about to be scaled to zero."),
        ),
        Phase::Failed => (
            "False",
            format!("Canary analysis failed, {kind} scaled to zero."),
        ),
    };
    Some(Condition {
        status: state,
        reason: status.phase.as_str(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Cleanup;

    #[test]
    fn every_phase_but_none_has_a_condition_named_after_it() {
        for phase in Phase::ALL {
            let condition = promoted(
                &Status {
                    phase,
                    ..Status::default()
                },
                TargetKind::Deployment,
            );
            assert_eq!(
                condition.map(|found| found.reason),
                (phase != Phase::None).then_some(phase.as_str())
            );
        }
    }

    #[test]
    fn only_initialized_and_succeeded_count_as_promoted() {
        for phase in Phase::ALL.into_iter().skip(1) {
            let status = Status {
                phase,
                ..Status::default()
            };
            let promoted = promoted(&status, TargetKind::Deployment).unwrap().status == "True";
            assert_eq!(
                promoted,
                matches!(phase, Phase::Initialized | Phase::Succeeded),
                "{phase}"
            );
        }
    }

    #[test]
    fn the_condition_claims_scaled_to_zero_only_after_the_cleanup() {
        let failed = Status {
            phase: Phase::Failed,
            ..Status::default()
        };
        let serves = Status {
            canary_weight: 100,
            ..failed.clone()
        };
        let waits = Status {
            cleanup: Some(Cleanup::ScaleDown),
            ..failed.clone()
        };
        let text = |status| promoted(status, TargetKind::Deployment).unwrap().message;
        assert!(text(&serves).contains("keeps serving"));
        assert!(text(&waits).contains("about to be scaled to zero"));
        assert!(text(&failed).ends_with("Deployment scaled to zero."));
    }
}

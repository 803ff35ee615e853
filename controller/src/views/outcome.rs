//! Whether the release of what the target holds is over, and how it ended.

use jiff::Timestamp;

use super::model::{EventView, View};
use crate::release::status::INVALID;

/// Where a release stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The primary runs what the target holds.
    Promoted(String),
    /// What the target holds was rolled back.
    RolledBack(String),
    /// The Canary was refused.
    Refused(String),
    /// The target has changed and nothing has happened yet.
    NotNoticed,
    /// Something is under way.
    Running,
}

/// Words with which every run begins.
const BEGINNING: &str = "New revision detected!";

/// The events of the release of what the target holds, oldest first; none before it is noticed. Events know their
/// time to the second only, so the comparison does too; in the second in which the run began, its first words tell
/// it from the end of the one before.
pub(crate) fn events_of_release(view: &View) -> impl Iterator<Item = &EventView> {
    let noticed = outcome(view) != Outcome::NotNoticed;
    let started = view.status.run_started.as_deref();
    let started = started
        .and_then(|text| text.parse::<Timestamp>().ok())
        .map(Timestamp::as_second);
    let second = |event: &EventView| event.time.map(Timestamp::as_second);
    let begins =
        |event: &EventView| second(event) == started && event.message.starts_with(BEGINNING);
    let first = view.events.iter().rposition(begins).unwrap_or(0);
    let belongs =
        move |event: &&EventView| noticed && (started.is_none() || second(event) >= started);
    view.events.iter().skip(first).filter(belongs)
}

/// Where the release of what the target holds stands.
pub(crate) fn outcome(view: &View) -> Outcome {
    let status = &view.status;
    if let Some(waiting) = status
        .waiting
        .as_ref()
        .filter(|waiting| waiting.reason == INVALID)
    {
        return Outcome::Refused(waiting.message.clone());
    }
    let Some(revision) = &view.revision else {
        return Outcome::NotNoticed;
    };
    let images = view.target_images.join(", ");
    let is_applied = status.last_applied_spec.as_ref() == Some(revision);
    let is_promoted = status.last_promoted_spec.as_ref() == Some(revision);
    match status.phase.as_str() {
        "Succeeded" | "Initialized" if is_promoted => Outcome::Promoted(format!(
            "{}.{}: {images} was promoted.",
            view.name, view.namespace
        )),
        "Failed" if is_applied => {
            let why = view
                .events
                .iter()
                .rev()
                .find(|event| event.warning && is_cause(&event.message));
            let why = why
                .map(|event| format!(" {}", event.message))
                .unwrap_or_default();
            Outcome::RolledBack(format!(
                "{}.{}: {images} was rolled back.{why}",
                view.name, view.namespace
            ))
        }
        "Failed" if is_promoted => Outcome::Promoted(format!(
            "{}.{}: the primary runs {images} already; nothing is released.",
            view.name, view.namespace
        )),
        "Succeeded" | "Initialized" | "Failed" | "" => Outcome::NotNoticed,
        _ => Outcome::Running,
    }
}

/// Events at the end of a failed release only say that it ended; those before say why.
fn is_cause(message: &str) -> bool {
    message.starts_with("Halt ")
        || message.starts_with("Metric ")
        || message.starts_with("Prometheus ")
        || message.contains("not ready")
        || message.contains("progress deadline")
        || message.starts_with("Rollback check")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CanaryStatus, WaitingStatus},
        views::model::EventView,
    };

    fn view(phase: &str, applied: &str, promoted: &str, target: &str) -> View {
        View {
            name: "app".to_owned(),
            namespace: "ns".to_owned(),
            status: CanaryStatus {
                phase: phase.to_owned(),
                last_applied_spec: Some(applied.to_owned()),
                last_promoted_spec: Some(promoted.to_owned()),
                ..CanaryStatus::default()
            },
            revision: Some(target.to_owned()),
            target_images: vec!["app:2".to_owned()],
            ..View::default()
        }
    }

    #[test]
    fn only_the_release_of_what_the_target_holds_counts() {
        assert_eq!(
            outcome(&view("Succeeded", "a", "a", "b")),
            Outcome::NotNoticed
        );
        assert_eq!(outcome(&view("Failed", "a", "o", "b")), Outcome::NotNoticed);
        assert_eq!(
            outcome(&view("Progressing", "b", "a", "b")),
            Outcome::Running
        );
        assert!(matches!(
            outcome(&view("Succeeded", "b", "b", "b")),
            Outcome::Promoted(_)
        ));
        assert!(matches!(
            outcome(&view("Initialized", "b", "b", "b")),
            Outcome::Promoted(_)
        ));
        assert!(matches!(
            outcome(&view("Failed", "a", "b", "b")),
            Outcome::Promoted(_)
        ));
    }

    #[test]
    fn events_of_earlier_releases_are_not_told_again() {
        let event = |time: &str, message: &str| EventView {
            time: time.parse().ok(),
            message: message.to_owned(),
            ..EventView::default()
        };
        let mut view = view("Succeeded", "a", "a", "b");
        view.events = vec![
            event("2026-01-01T00:00:09Z", "of the release before"),
            event("2026-01-01T00:00:10Z", "the end of the release before"),
            event(
                "2026-01-01T00:00:10Z",
                "New revision detected! Scaling up app.ns",
            ),
            event("2026-01-01T00:00:11Z", "of this release"),
        ];
        view.status.run_started = Some("2026-01-01T00:00:10.4Z".to_owned());
        assert_eq!(events_of_release(&view).count(), 0, "not noticed yet");
        "Progressing".clone_into(&mut view.status.phase);
        view.status.last_applied_spec = Some("b".to_owned());
        let told: Vec<_> = events_of_release(&view)
            .map(|event| &event.message)
            .collect();
        assert_eq!(
            told,
            [
                "New revision detected! Scaling up app.ns",
                "of this release"
            ]
        );
    }

    #[test]
    fn a_rollback_says_why() {
        let mut failed = view("Failed", "b", "a", "b");
        let event = |message: &str| EventView {
            warning: true,
            message: message.to_owned(),
            ..EventView::default()
        };
        failed.events = vec![
            event("Halt app.ns advancement latency 4.50 > 3"),
            event("Rolling back app.ns failed checks threshold reached 5"),
            event("Canary failed! Scaling down app.ns"),
        ];
        let words = "app.ns: app:2 was rolled back. Halt app.ns advancement latency 4.50 > 3";
        assert_eq!(outcome(&failed), Outcome::RolledBack(words.to_owned()));
    }

    #[test]
    fn a_refused_canary_ends_the_wait_with_its_reason() {
        let mut refused = view("Succeeded", "a", "a", "b");
        refused.status.waiting = Some(WaitingStatus {
            reason: INVALID.to_owned(),
            message: "spec.x: wrong".to_owned(),
            announced: true,
        });
        assert_eq!(
            outcome(&refused),
            Outcome::Refused("spec.x: wrong".to_owned())
        );
    }
}

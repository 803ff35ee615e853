//! The outcome of the release of the target's current revision.

use jiff::Timestamp;

use super::model::{EventView, View};
use crate::release::status::INVALID;

/// The state of a release. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The primary runs the target's revision.
    Promoted(String),
    /// The target's revision was rolled back.
    RolledBack(String),
    /// The Canary was refused.
    Refused(String),
    /// The target has changed, but the controller has not reacted yet.
    NotNoticed,
    /// The release is in progress.
    Running,
}

/// Prefix of the first event of every run.
const BEGINNING: &str = "New revision detected!";

/// Returns the events of the release of the target's current revision, oldest first; none before the controller has
/// noticed the revision.
///
/// Event times have a resolution of one second. Within the second in which the run began, its first event marks where
/// the events of the previous run end.
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

/// Returns the state of the release of the target's current revision.
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
            "{}.{}: the primary already runs {images}; there is nothing to release.",
            view.name, view.namespace
        )),
        "Succeeded" | "Initialized" | "Failed" | "" => Outcome::NotNoticed,
        _ => Outcome::Running,
    }
}

/// Reports whether a warning gives the cause of a rollback. The last events of a failed release only report its end.
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
    fn only_the_release_of_the_current_revision_counts() {
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
    fn events_of_earlier_releases_are_left_out() {
        let event = |time: &str, message: &str| EventView {
            time: time.parse().ok(),
            message: message.to_owned(),
            ..EventView::default()
        };
        let mut view = view("Succeeded", "a", "a", "b");
        view.events = vec![
            event("2026-01-01T00:00:09Z", "previous release"),
            event("2026-01-01T00:00:10Z", "end of the previous release"),
            event(
                "2026-01-01T00:00:10Z",
                "New revision detected! Scaling up app.ns",
            ),
            event("2026-01-01T00:00:11Z", "this release"),
        ];
        view.status.run_started = Some("2026-01-01T00:00:10.4Z".to_owned());
        assert_eq!(events_of_release(&view).count(), 0, "not noticed yet");
        "Progressing".clone_into(&mut view.status.phase);
        view.status.last_applied_spec = Some("b".to_owned());
        let messages: Vec<_> = events_of_release(&view)
            .map(|event| &event.message)
            .collect();
        assert_eq!(
            messages,
            ["New revision detected! Scaling up app.ns", "this release"]
        );
    }

    #[test]
    fn a_rollback_names_its_cause() {
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

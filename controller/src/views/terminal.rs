//! Renders views as text. Pure: tests compare the text.

use std::fmt::Write;

use jiff::Timestamp;

use super::model::{EventView, View, number};

const BAR: usize = 40;
const CHECKS: usize = 6;
const EVENTS: usize = 10;

/// Renders canaries one below the other.
pub(crate) fn render(views: &[View], now: Timestamp) -> String {
    let one = |view: &View| canary(view, now);
    views.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Formats an event as one line.
pub(crate) fn event_line(event: &EventView) -> String {
    let kind = if event.warning { "Warning" } else { "Normal " };
    format!("{}  {kind}  {}", clock(event.time), event.message)
}

fn canary(view: &View, now: Timestamp) -> String {
    let status = &view.status;
    let mut text = String::new();
    let phase = if status.phase.is_empty() {
        "New"
    } else {
        &status.phase
    };
    let since: Option<Timestamp> = status
        .phase_since
        .as_ref()
        .and_then(|time| time.parse().ok());
    let age = since
        .map(|since| format!(" for {}", span(now, since)))
        .unwrap_or_default();
    line(
        &mut text,
        &format!("{}.{}  {phase}{age}", view.name, view.namespace),
    );
    let images = |images: &[String]| {
        if images.is_empty() {
            "none".to_owned()
        } else {
            images.join(", ")
        }
    };
    line(
        &mut text,
        &format!("  primary  {}", images(&view.primary_images)),
    );
    line(
        &mut text,
        &format!("  canary   {}", images(&view.target_images)),
    );
    line(
        &mut text,
        &format!("  weight   {}", bar(status.canary_weight)),
    );
    let interval = view.interval();
    line(
        &mut text,
        &format!("  steps    {}, every {interval}", steps(view)),
    );
    line(
        &mut text,
        &format!(
            "  failed   {} of {} checks",
            status.failed_checks,
            view.threshold()
        ),
    );
    if let Some(waiting) = &status.waiting {
        line(
            &mut text,
            &format!("  waiting  {}: {}", waiting.reason, waiting.message),
        );
    }
    let checks = status.checks.as_deref().unwrap_or_default();
    if !checks.is_empty() {
        line(&mut text, "Checks");
    }
    let width = checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0);
    for check in &checks[checks.len().saturating_sub(CHECKS)..] {
        let value = check.value.map_or_else(|| "-".to_owned(), number);
        line(
            &mut text,
            &format!(
                "  {}  {:>3}%  {:width$}  {value:>10}  {:8}  {}{}{}",
                clock(check.time.parse().ok()),
                check.weight,
                check.name,
                check.threshold,
                check.verdict,
                if check.message.is_empty() { "" } else { "  " },
                check.message,
            ),
        );
    }
    if !view.events.is_empty() {
        line(&mut text, "Events");
    }
    for event in &view.events[view.events.len().saturating_sub(EVENTS)..] {
        line(&mut text, &format!("  {}", event_line(event)));
    }
    text
}

fn line(text: &mut String, words: &str) {
    text.push_str(words.trim_end());
    text.push('\n');
}

/// `[####······] 20% canary, 80% primary`
fn bar(weight: i64) -> String {
    let weight = usize::try_from(weight.clamp(0, 100)).unwrap_or(0);
    let filled = (weight * BAR + 50) / 100;
    let mut text = String::from("[");
    text.extend(std::iter::repeat_n('#', filled));
    text.extend(std::iter::repeat_n('.', BAR - filled));
    // Writing to a string cannot fail.
    let _ = write!(text, "] {weight}% canary, {}% primary", 100 - weight);
    text
}

fn steps(view: &View) -> String {
    let strategy = view.strategy();
    strategy.map_or_else(|| "none".to_owned(), |strategy| strategy.to_string())
}

fn clock(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "--:--:--".to_owned(),
        |time| time.strftime("%H:%M:%SZ").to_string(),
    )
}

fn span(now: Timestamp, since: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{CanaryStatus, CheckStatus, WaitingStatus};

    #[test]
    fn the_view_of_a_release_under_way() {
        let check = |second: u32, value: Option<f64>, verdict: &str, message: &str| CheckStatus {
            time: format!("2023-11-14T22:13:{second}Z"),
            name: "request-duration".to_owned(),
            weight: 20,
            value,
            threshold: "<= 3".to_owned(),
            verdict: verdict.to_owned(),
            message: message.to_owned(),
        };
        let view = View {
            name: "app".to_owned(),
            namespace: "ns".to_owned(),
            spec: serde_json::from_value(json!({
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
                "analysis": { "interval": "20s", "threshold": 5, "stepWeight": 10, "maxWeight": 50 },
            }))
            .ok(),
            status: CanaryStatus {
                phase: "Progressing".to_owned(),
                canary_weight: 20,
                failed_checks: 1,
                phase_since: Some("2023-11-14T22:12:10Z".to_owned()),
                waiting: Some(WaitingStatus {
                    reason: "CheckFailed".to_owned(),
                    message: "request-duration 4.5 > 3".to_owned(),
                    announced: true,
                }),
                checks: Some(vec![
                    check(10, Some(1.25), "Pass", ""),
                    check(30, None, "NoData", "no values found"),
                ]),
                ..CanaryStatus::default()
            },
            revision: None,
            target_images: vec!["app:2".to_owned()],
            primary_images: vec!["app:1".to_owned()],
            events: vec![EventView {
                name: "e".to_owned(),
                time: "2023-11-14T22:13:00Z".parse().ok(),
                warning: false,
                message: "Advance app.ns canary weight 20".to_owned(),
            }],
        };
        let now = "2023-11-14T22:13:35Z".parse().unwrap();
        insta::assert_snapshot!(render(
            &[
                view,
                View {
                    name: "new".to_owned(),
                    ..View::default()
                }
            ],
            now
        ));
    }
}

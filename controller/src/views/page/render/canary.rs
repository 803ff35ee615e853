//! The page of one canary.

use canary_engine::phase::Phase;

use super::{Document, Html, bar, fact, facts, images, phase, problems, section, time, title};
use crate::{
    api::{CheckStatus, Condition},
    views::model::number,
    views::page::{
        listing::Listing,
        report::{Report, StepState, Summary},
    },
};

/// Renders the page of one canary; `None` if it does not exist.
pub(in crate::views::page) fn canary(
    listing: &Listing,
    namespace: &str,
    name: &str,
) -> Option<Document> {
    let report = &listing.find(namespace, name)?.report;
    let mut sections = Vec::new();
    if !listing.watcher.problems.is_empty() {
        let mut html = Html::default();
        problems(&mut html, &listing.watcher);
        sections.push(section("problems", html));
    }
    sections.push(section("summary", summary(report)));
    sections.push(section("now", now(&report.summary)));
    sections.push(section("steps", steps(report)));
    sections.push(section("checks", checks(&report.checks)));
    sections.push(section("history", history(report)));
    sections.push(section("conditions", conditions(&report.conditions)));
    Some(Document {
        title: format!("{name}.{namespace}"),
        home: "../../",
        sections,
    })
}

fn summary(report: &Report) -> Html {
    let summary = &report.summary;
    let mut html = Html::default();
    html.raw("<h1>");
    title(&mut html, summary);
    html.raw(" ");
    phase(&mut html, &summary.phase);
    html.raw("</h1>\n");
    bar(&mut html, summary);
    images(&mut html, summary);
    facts(&mut html, report);
    let revisions = [
        ("Promoted revision", &summary.revisions.promoted),
        ("Released revision", &summary.revisions.applied),
        ("Target revision", &summary.revisions.target),
    ];
    html.raw("<dl class=\"revisions\">");
    for (name, revision) in revisions {
        fact(&mut html, name, |html| {
            html.raw("<code>")
                .text(revision.as_deref().unwrap_or("none"));
            html.raw("</code>");
        });
    }
    html.raw("</dl>\n");
    html
}

/// Renders what the canary waits for.
pub(super) fn now(summary: &Summary) -> Html {
    let mut html = Html::default();
    html.raw("<h2>Waiting for</h2>\n");
    if let Some(waiting) = &summary.waiting {
        html.raw("<p class=\"waiting\"><strong>")
            .text(&waiting.reason);
        html.raw("</strong> ").text(&waiting.message).raw("</p>\n");
        return html;
    }
    html.raw("<p>");
    if summary.suspended {
        html.raw(
            "<code>spec.suspend</code> to be set to <code>false</code>. The controller changes nothing until then.</p>\n",
        );
        return html;
    }
    match Phase::parse(&summary.phase) {
        Some(Phase::None | Phase::Initializing) | None => {
            html.raw("the primary to become ready.");
        }
        Some(Phase::Initialized | Phase::Succeeded) => {
            html.raw("a change to the pod template of ")
                .text(&summary.target);
            html.raw(", which starts a release.");
        }
        Some(Phase::Failed) => {
            html.raw("a new change to the pod template of ")
                .text(&summary.target);
            html.raw(". The current one was rolled back.");
        }
        Some(Phase::Waiting | Phase::WaitingPromotion) => {
            html.raw("a gate to open.");
        }
        Some(Phase::Progressing) => {
            html.raw("the next check. Checks run every ")
                .text(&summary.interval);
            html.raw(".");
        }
        Some(Phase::Promoting) => {
            html.raw("the primary to roll out the new revision.");
        }
        Some(Phase::Finalising) => {
            html.raw("the canary to scale down.");
        }
        Some(Phase::Terminating) => {
            html.raw("the deletion to finish.");
        }
    }
    html.raw("</p>\n");
    html
}

fn steps(report: &Report) -> Html {
    let mut html = Html::default();
    html.raw("<h2>Steps</h2>\n<ol class=\"steps\">");
    for step in &report.steps {
        let (class, words) = match step.state {
            StepState::Done => ("done", "done"),
            StepState::Now => ("now", "in progress"),
            StepState::Ended => ("ended", "failed here"),
            StepState::ToCome => ("to-come", "pending"),
            StepState::NotReached => ("to-come", "not reached"),
        };
        html.raw("<li class=\"")
            .raw(class)
            .raw("\">")
            .text(&step.name);
        html.raw(" <small>").raw(words).raw("</small></li>");
    }
    html.raw("</ol>\n");
    html
}

fn checks(checks: &[CheckStatus]) -> Html {
    let mut html = Html::default();
    html.raw("<h2>Checks</h2>\n");
    let columns = [
        "Time", "Weight", "Metric", "Value", "Limit", "Verdict", "Message",
    ];
    table(&mut html, &columns, checks.iter().rev(), |cells, check| {
        cells.add("", |html| time(html, &check.time));
        cells.add("", |html| {
            html.text(check.weight).raw(" %");
        });
        cells.text(&check.name);
        cells.add("number", |html| match check.value {
            Some(value) => {
                html.text(number(value));
            }
            None => {
                html.raw("–");
            }
        });
        cells.text(&check.threshold);
        let class = if check.verdict == "Pass" {
            "pass"
        } else {
            "no-pass"
        };
        cells.add(class, |html| {
            html.text(&check.verdict);
        });
        cells.text(&check.message);
    });
    html
}

fn history(report: &Report) -> Html {
    let mut html = Html::default();
    html.raw("<h2>History</h2>\n");
    let columns = ["Time", "Phase", "Weight", "Failed checks", "Message"];
    let moments = report.history.iter().rev();
    table(&mut html, &columns, moments, |cells, moment| {
        cells.add("", |html| {
            time(html, moment.time.as_deref().unwrap_or_default());
        });
        cells.text(&moment.phase);
        cells.add("", |html| {
            html.text(moment.weight).raw(" %");
        });
        cells.text(moment.failed_checks);
        cells.text(&moment.message);
    });
    html.raw("<p class=\"note\">Changes that this replica has seen since it started. For all events, run <code>");
    html.raw("kubectl describe canary ")
        .text(&report.summary.name);
    html.raw(" --namespace ").text(&report.summary.namespace);
    html.raw("</code>.</p>\n");
    html
}

fn conditions(conditions: &[Condition]) -> Html {
    let mut html = Html::default();
    html.raw("<h2>Conditions</h2>\n");
    let columns = ["Type", "Status", "Reason", "Since", "Message"];
    table(
        &mut html,
        &columns,
        conditions.iter(),
        |cells, condition| {
            cells.text(&condition.type_);
            cells.text(&condition.status);
            cells.text(&condition.reason);
            cells.add("", |html| time(html, &condition.last_transition_time));
            cells.text(&condition.message);
        },
    );
    html
}

fn table<T>(
    html: &mut Html,
    columns: &[&'static str],
    rows: impl Iterator<Item = T>,
    row: impl Fn(&mut Cells, T),
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        html.raw("<p>None yet.</p>\n");
        return;
    }
    html.raw("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in columns {
        html.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    html.raw("</tr></thead>\n<tbody>\n");
    for one in rows {
        html.raw("<tr>");
        let columns = columns.iter();
        row(&mut Cells { html, columns }, one);
        html.raw("</tr>\n");
    }
    html.raw("</tbody></table></div>\n");
}

/// The cells of a row. Each carries its column's name: a phone shows the cells of a row one below the other.
struct Cells<'a> {
    html: &'a mut Html,
    columns: std::slice::Iter<'a, &'static str>,
}

impl Cells<'_> {
    fn add(&mut self, class: &'static str, content: impl FnOnce(&mut Html)) {
        let column = self.columns.next().copied().unwrap_or_default();
        self.html.raw("<td data-column=\"").raw(column);
        if !class.is_empty() {
            self.html.raw("\" class=\"").raw(class);
        }
        self.html.raw("\">");
        content(self.html);
        self.html.raw("</td>");
    }

    fn text(&mut self, text: impl std::fmt::Display) {
        self.add("", |html| {
            html.text(text);
        });
    }
}

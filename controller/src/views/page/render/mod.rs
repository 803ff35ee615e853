//! Renders the page as HTML. Pure: tests compare the text.

use std::sync::Arc;

use canary_engine::phase::Phase;

use super::{
    listing::Listing,
    markup::{Html, segment},
    report::{Report, StepState, Summary, Watcher},
};

mod canary;

pub(super) use canary::canary;

const SHELL: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// One page: the content of `<main>`, in sections that are updated separately.
pub(super) struct Document {
    pub(super) title: String,
    /// Relative path of the list. Links are relative so that the page works below any path (`kubectl proxy`).
    pub(super) home: &'static str,
    pub(super) sections: Vec<Section>,
}

/// A child element of `<main>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Its `id`.
    pub(super) id: String,
    pub(super) html: Arc<str>,
}

impl Document {
    /// Returns the whole page, with its style and script.
    pub(super) fn page(&self) -> String {
        let mut title = Html::default();
        title.text(&self.title);
        let parts = [
            ("<!--TITLE-->", title.as_str()),
            ("/*STYLE*/", STYLE),
            ("<!--HOME-->", self.home),
            ("<!--MAIN-->", &self.main()),
            ("/*SCRIPT*/", SCRIPT),
        ];
        let mut page = String::new();
        let mut rest = SHELL;
        for (mark, content) in parts {
            let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
            page.push_str(before);
            page.push_str(content);
            rest = after;
        }
        page.push_str(rest);
        page
    }

    /// Returns the content of `<main>`.
    pub(super) fn main(&self) -> String {
        self.sections.iter().map(|section| &*section.html).collect()
    }
}

/// Renders the list of all canaries.
pub(super) fn index(listing: &Listing) -> Document {
    let mut sections = vec![section("watcher", watcher(listing))];
    if listing.canaries.is_empty() && listing.watcher.problems.is_empty() {
        sections.push(section("empty", empty()));
    }
    sections.extend(listing.canaries.iter().map(|entry| Section {
        id: id(&entry.report.summary),
        html: Arc::clone(&entry.card),
    }));
    Document {
        title: "Rollouts".to_owned(),
        home: "./",
        sections,
    }
}

/// Renders the page of a canary that does not exist.
pub(super) fn gone(namespace: &str, name: &str) -> Document {
    let mut html = Html::default();
    html.raw("<h1>There is no Canary “").text(name);
    html.raw("” in namespace ").text(namespace);
    html.raw(
        "</h1><p>It appears here as soon as it is created. <a href=\"../../\">All canaries</a></p>",
    );
    Document {
        title: format!("{name}.{namespace}"),
        home: "../../",
        sections: vec![section("gone", html)],
    }
}

/// Renders one canary of the list.
pub(super) fn card(report: &Report) -> String {
    let summary = &report.summary;
    let mut html = Html::default();
    html.raw("<article id=\"")
        .text(id(summary))
        .raw("\">\n<h2><a href=\"canaries/");
    html.text(segment(&summary.namespace)).raw("/");
    html.text(segment(&summary.name)).raw("\">");
    title(&mut html, summary);
    html.raw("</a> ");
    phase(&mut html, &summary.phase);
    html.raw("</h2>\n");
    bar(&mut html, summary);
    images(&mut html, summary);
    facts(&mut html, report);
    if let Some(waiting) = &summary.waiting {
        html.raw("<p class=\"waiting\"><strong>")
            .text(&waiting.reason);
        html.raw("</strong> ").text(&waiting.message).raw("</p>\n");
    }
    html.raw("</article>\n");
    html.into_string()
}

fn section(id: &'static str, content: Html) -> Section {
    let mut html = Html::default();
    html.raw("<section id=\"").raw(id).raw("\">\n");
    html.html(&content).raw("</section>\n");
    Section {
        id: id.to_owned(),
        html: html.into_string().into(),
    }
}

/// Element id of a canary. Unique, because names contain no slash.
fn id(summary: &Summary) -> String {
    format!("{}/{}", summary.namespace, summary.name)
}

fn watcher(listing: &Listing) -> Html {
    let Watcher {
        version,
        leads,
        namespace,
        ..
    } = &listing.watcher;
    let mut html = Html::default();
    html.raw("<h1>Rollouts</h1>\n<p>");
    match listing.canaries.len() {
        1 => html.raw("1 canary"),
        count => html.text(count).raw(" canaries"),
    };
    match namespace {
        Some(namespace) => html.raw(" in namespace ").text(namespace),
        None => html.raw(" in all namespaces"),
    };
    html.raw(". Served by canary-controller ").text(version);
    html.raw(if *leads {
        " (leader)."
    } else {
        " (standby; it shows the same data as the leader)."
    });
    html.raw("</p>\n");
    problems(&mut html, &listing.watcher);
    html
}

fn problems(html: &mut Html, watcher: &Watcher) {
    for (resource, why) in &watcher.problems {
        html.raw("<p class=\"problem\"><strong>May be out of date:</strong> cannot watch <code>");
        html.text(resource).raw("</code>: ").text(why).raw("</p>\n");
    }
}

fn empty() -> Html {
    let mut html = Html::default();
    html.raw(include_str!("empty.html"));
    html
}

fn title(html: &mut Html, summary: &Summary) {
    html.raw("<bdi>")
        .text(&summary.name)
        .raw("</bdi><span class=\"namespace\">.<bdi>");
    html.text(&summary.namespace).raw("</bdi></span>");
}

fn phase(html: &mut Html, phase: &str) {
    let class = match Phase::parse(phase) {
        Some(Phase::Initialized | Phase::Succeeded) => "good",
        Some(Phase::Failed) => "bad",
        Some(Phase::Waiting | Phase::WaitingPromotion) => "held",
        Some(Phase::Initializing | Phase::Progressing | Phase::Promoting | Phase::Finalising) => {
            "busy"
        }
        Some(Phase::None | Phase::Terminating) | None => "other",
    };
    html.raw("<span class=\"phase ").raw(class).raw("\">");
    html.text(if phase.is_empty() { "New" } else { phase });
    html.raw("</span>");
}

fn bar(html: &mut Html, summary: &Summary) {
    let weights = summary.weights;
    // An SVG, because the Content-Security-Policy forbids style attributes.
    html.raw("<svg class=\"bar\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    html.raw("<rect class=\"primary\" height=\"6\" width=\"")
        .text(weights.primary);
    html.raw("\"/><rect class=\"canary\" height=\"6\" x=\"")
        .text(weights.primary);
    html.raw("\" width=\"")
        .text(weights.canary)
        .raw("\"/></svg>\n");
    html.raw("<p class=\"weights\"><span class=\"primary\">primary ")
        .text(weights.primary);
    html.raw(" %</span> <span class=\"canary\">canary ")
        .text(weights.canary);
    html.raw(" %</span></p>\n");
}

fn images(html: &mut Html, summary: &Summary) {
    let (old, new) = (&summary.images.primary, &summary.images.target);
    let code = |html: &mut Html, images: &[String]| {
        html.raw("<code>");
        html.text(if images.is_empty() {
            "none".to_owned()
        } else {
            images.join(", ")
        });
        html.raw("</code>");
    };
    html.raw("<p class=\"images\">");
    let is_failed = Phase::parse(&summary.phase) == Some(Phase::Failed);
    code(html, old);
    if old != new && is_failed && summary.revisions.target == summary.revisions.applied {
        html.raw(" (rolled back from ");
        code(html, new);
        html.raw(")");
    } else if old != new {
        html.raw(" → ");
        code(html, new);
    }
    html.raw("</p>\n");
}

fn facts(html: &mut Html, report: &Report) {
    let summary = &report.summary;
    html.raw("<dl>");
    fact(html, "Failed checks", |html| {
        html.text(summary.failed_checks)
            .raw(" of ")
            .text(summary.threshold);
    });
    let weights = || report.steps.iter().filter(|step| step.weight.is_some());
    let done = weights()
        .filter(|step| !matches!(step.state, StepState::ToCome | StepState::NotReached))
        .count();
    fact(html, "Step", |html| {
        html.text(done).raw(" of ").text(weights().count());
    });
    if summary.iterations > 0 {
        fact(html, "Iteration", |html| {
            html.text(summary.iterations);
        });
    }
    if let Some(since) = &summary.phase_since {
        fact(html, "In this phase since", |html| time(html, since));
    }
    if let Some(last) = &summary.last_transition {
        fact(html, "Last transition", |html| time(html, last));
    }
    html.raw("</dl>\n");
}

fn fact(html: &mut Html, name: &'static str, value: impl FnOnce(&mut Html)) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd>");
    value(html);
    html.raw("</dd></div>");
}

/// Renders a time. The page's script adds its age.
fn time(html: &mut Html, text: &str) {
    let Ok(time) = text.parse::<jiff::Timestamp>() else {
        html.text(text);
        return;
    };
    html.raw("<time datetime=\"").text(time).raw("\">");
    html.text(time.strftime("%Y-%m-%d %H:%M:%SZ"))
        .raw("</time>");
}

#[cfg(test)]
mod tests;

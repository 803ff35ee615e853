use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{canary::now, *};
use crate::{
    api::{CanaryStatus, CheckStatus, Condition, WaitingStatus},
    views::{
        model::View,
        page::{Moment, listing::Entry},
    },
};

/// A release that was halted at 20 %. A non-empty `text` replaces every text that comes from a user.
fn halted(text: &str) -> Report {
    let or = |plain: &str| {
        if text.is_empty() {
            plain.to_owned()
        } else {
            text.to_owned()
        }
    };
    let check = |second: u32, value: Option<f64>, verdict: &str, message: &str| CheckStatus {
        time: format!("2023-11-14T22:13:{second}.5Z"),
        name: or("request-duration"),
        weight: 20,
        value,
        threshold: or("<= 3"),
        verdict: or(verdict),
        message: or(message),
    };
    let view = View {
        name: or("app"),
        namespace: or("ns"),
        spec: serde_json::from_value(json!({
            "targetRef": { "apiVersion": "apps/v1", "kind": or("Deployment"), "name": or("app") },
            "analysis": { "interval": or("20s"), "threshold": 5, "stepWeight": 10, "maxWeight": 50 },
        }))
        .ok(),
        status: CanaryStatus {
            phase: or("Progressing"),
            canary_weight: 20,
            failed_checks: 1,
            phase_since: Some(or("2023-11-14T22:12:10.25Z")),
            last_transition_time: Some(or("2023-11-14T22:13:30Z")),
            last_applied_spec: Some(or("sha256:b")),
            last_promoted_spec: Some(or("sha256:a")),
            waiting: Some(WaitingStatus {
                reason: or("CheckFailed"),
                message: or("Halt app.ns advancement request-duration 4.50 > 3"),
                announced: true,
            }),
            checks: Some(vec![
                check(10, Some(1.25), "Pass", ""),
                check(30, None, "NoData", "no values found"),
            ]),
            conditions: Some(vec![Condition {
                type_: or("Promoted"),
                status: or("Unknown"),
                reason: or("Progressing"),
                message: or("New revision detected, progressing canary analysis."),
                last_update_time: or("2023-11-14T22:12:10Z"),
                last_transition_time: or("2023-11-14T22:12:10Z"),
            }]),
            ..CanaryStatus::default()
        },
        revision: Some(or("sha256:b")),
        target_images: vec![or("app:2"), or("proxy:7")],
        primary_images: vec![or("app:1"), or("proxy:7")],
        events: Vec::new(),
    };
    let moment = Moment {
        time: Some(or("2023-11-14T22:13:30Z")),
        phase: or("Progressing"),
        weight: 20,
        failed_checks: 1,
        message: or("Halt app.ns advancement request-duration 4.50 > 3"),
    };
    Report::new(view, vec![moment])
}

fn listing(reports: Vec<Report>) -> Listing {
    let entry = |report: Report| {
        let card = card(&report).into();
        Arc::new(Entry { report, card })
    };
    Listing {
        watcher: Watcher {
            version: "1.2.3",
            leads: true,
            namespace: None,
            problems: BTreeMap::new(),
        },
        canaries: reports.into_iter().map(entry).collect(),
        sources: Vec::new(),
    }
}

fn with_phase(phase: &str) -> Report {
    let mut report = halted("");
    report.summary.phase = phase.to_owned();
    report.summary.waiting = None;
    report
}

#[test]
fn the_list() {
    let mut untouched = with_phase("");
    untouched.summary.name = "new".to_owned();
    untouched.summary.images.primary.clear();
    insta::assert_snapshot!(index(&listing(vec![halted(""), untouched])).main());
}

#[test]
fn one_canary() {
    let listing = listing(vec![halted("")]);
    insta::assert_snapshot!(canary(&listing, "ns", "app").unwrap().main());
    assert!(canary(&listing, "ns", "other").is_none());
    assert!(canary(&listing, "other", "app").is_none());
}

#[test]
fn an_empty_list_shows_how_to_start_and_an_unreadable_cluster_shows_the_error() {
    let mut nothing = listing(Vec::new());
    assert!(index(&nothing).main().contains("kubectl apply -f -"));
    let problem = (
        "canaries.flagger.app".to_owned(),
        "may not <list>".to_owned(),
    );
    nothing.watcher.problems.extend([problem]);
    nothing.watcher.leads = false;
    nothing.watcher.namespace = Some("team".to_owned());
    let html = index(&nothing).main();
    assert!(!html.contains("kubectl apply"), "{html}");
    for part in [
        "cannot watch <code>canaries.flagger.app</code>: may not &lt;list&gt;",
        "standby",
        "0 canaries in namespace team",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[test]
fn every_phase_shows_what_it_waits_for() {
    let lines: Vec<String> = Phase::ALL
        .iter()
        .map(|phase| {
            let html = now(&with_phase(phase.as_str()).summary).into_string();
            let text = html.split("<p>").nth(1).unwrap();
            format!("{phase}: {}", text.trim().trim_end_matches("</p>"))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let mut suspended = with_phase("Progressing");
    suspended.summary.suspended = true;
    let html = now(&suspended.summary).into_string();
    assert!(html.contains("spec.suspend"), "{html}");
}

#[test]
fn a_version_that_was_rolled_back_is_not_shown_as_new() {
    let failed = card(&with_phase("Failed"));
    let images = "<code>app:1, proxy:7</code> (rolled back from <code>app:2, proxy:7</code>)";
    assert!(failed.contains(images), "{failed}");
    let mut next = with_phase("Failed");
    next.summary.revisions.target = Some("sha256:c".to_owned());
    let next = card(&next);
    assert!(
        next.contains("<code>app:1, proxy:7</code> → <code>app:2, proxy:7</code>"),
        "{next}"
    );
}

/// Returns every tag of a text with the names of its attributes.
fn tags(html: &str) -> Vec<String> {
    let tags = html.split('<').skip(1).map(|rest| {
        let tag = rest.split_once('>').map_or(rest, |(tag, _)| tag);
        let outside = tag.split('"').step_by(2);
        outside.collect::<Vec<_>>().join("\"")
    });
    tags.collect()
}

#[test]
fn hostile_text_is_escaped_everywhere() {
    let hostile =
        "\"'><script>alert(1)</script><!--&lt;\r\n]]>\u{202e}\0--><img src=x onerror=alert(1)>";
    let report = |text: &str| {
        let mut report = halted(text);
        // An invalid time is shown as plain text, without `<time>`, so the tags would differ.
        for check in &mut report.checks {
            check.time = "2023-11-14T22:13:30Z".to_owned();
        }
        for condition in &mut report.conditions {
            condition.last_transition_time = "2023-11-14T22:13:30Z".to_owned();
        }
        report.history[0].time = None;
        report.summary.phase_since = None;
        report.summary.last_transition = None;
        report
    };
    let pages = |text: &str| {
        let listing = listing(vec![report(text)]);
        let summary = &listing.canaries[0].report.summary;
        [
            index(&listing).page(),
            canary(&listing, &summary.namespace, &summary.name)
                .unwrap()
                .page(),
            gone(&summary.namespace, &summary.name).page(),
        ]
    };
    // Both texts are unknown as phase or verdict, so the classes are the same.
    for (page, harmless) in pages(hostile).iter().zip(pages("harmless")) {
        assert_eq!(tags(page), tags(&harmless));
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
            "{page}"
        );
        assert!(!page.contains('\r') && !page.contains('\0'));
    }
    // Also in place of a time.
    let mut with_bad_time = halted(hostile);
    with_bad_time.summary.phase_since = Some(hostile.to_owned());
    let html = card(&with_bad_time);
    assert_eq!(html.matches("<script").count(), 0, "{html}");
}

#[test]
fn a_page_is_complete_and_its_policy_allows_its_own_script_and_style() {
    let page = index(&listing(Vec::new())).page();
    for (mark, count) in [
        ("<!--", 0),
        ("/*STYLE*/", 0),
        ("/*SCRIPT*/", 0),
        ("<title>Rollouts</title>", 1),
        ("<main>", 1),
        ("<script", 1),
        ("<style", 1),
        (" style=", 0),
        (" onload=", 0),
        ("http://", 0),
        ("https://", 0),
    ] {
        assert_eq!(page.matches(mark).count(), count, "{mark}");
    }
    let policy = crate::views::page::POLICY.to_str().unwrap();
    for element in ["script", "style"] {
        let (_, rest) = page.split_once(&format!("<{element}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(text));
        let allowed = format!("{element}-src 'sha256-{hash}'");
        assert!(policy.contains(&allowed), "{allowed}: {policy}");
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

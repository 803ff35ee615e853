//! One check of a run: webhooks, metrics, gates, and the step that they allow.

use std::time::Duration;

use crate::{
    action::Severity,
    analysis::{self, Meaning},
    canary::HookKind,
    phase::Phase,
    question::Question,
    status::{Check, Verdict, WaitingReason},
    tick::{
        Tick,
        hooks::{Ask, Hooks, Planned},
    },
};

use super::{
    promote,
    rollback::{Cause, roll_back, rollback_asked},
};

/// Makes a check in Flagger's order: rollback webhooks; then, once requests follow the route, either the start of the
/// analysis with the pre-rollout webhooks, or rollout webhooks and metrics; then gates; then the step.
pub(super) fn analyse(tick: &mut Tick<'_>) -> Planned {
    if rollback_asked(tick, tick.status.phase)? {
        roll_back(tick, Cause::Webhook);
        return Ok(());
    }
    if tick.route_is_pending() {
        // A measurement now would say nothing about the weights of the route.
        tick.wait_for_route();
        tick.checked();
        return Ok(());
    }
    let starting = tick.live.canary == 0 || !tick.status.pre_rollout_done;
    let passed = if starting { begin(tick)? } else { check(tick)? };
    if passed {
        tick.status.pre_rollout_done = true;
        tick.moving();
        tick.checked();
        step(tick, starting)?;
    }
    Ok(())
}

/// The first check of a run, and the first after the canary lost its traffic.
fn begin(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    let target = tick.target_id();
    tick.normal("Start", format!("Starting canary analysis for {target}"));
    webhooks(tick, HookKind::PreRollout, "pre-rollout check")
}

/// Every further check.
fn check(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    if !webhooks(tick, HookKind::Rollout, "external check")? {
        return Ok(false);
    }
    let metrics = &tick.canary.analysis.metrics;
    let unanswered: Vec<Question> = analysis::order(metrics)
        .filter(|index| tick.answers.metric(*index).is_none())
        .map(|index| Question::Metric { index })
        .collect();
    if !unanswered.is_empty() {
        return Err(Ask(unanswered));
    }
    let judged = analysis::judge(tick.canary, tick.answers, tick.now(), tick.live.canary);
    tick.record_checks(judged.checks);
    match judged.meaning {
        Meaning::Pass => Ok(true),
        Meaning::Halt(text) => {
            halt(tick, text);
            Ok(false)
        }
        Meaning::Unmeasured(text) => {
            // An error in measuring says nothing about the release: it halts the run, does not count, and is announced
            // only when it begins.
            let known = tick.status.waiting.as_ref().is_some_and(|waiting| {
                waiting.reason == WaitingReason::MetricUnavailable && waiting.message == text
            });
            if !known {
                tick.warning("MetricUnavailable", text.clone());
            }
            tick.hold(WaitingReason::MetricUnavailable, text);
            tick.checked();
            Ok(false)
        }
    }
}

/// Asks webhooks whose failure counts as a failed check.
fn webhooks(tick: &mut Tick<'_>, kind: HookKind, what: &str) -> Result<bool, Ask> {
    let mut passed = Vec::new();
    let outcome = tick.ask_hooks(kind, Phase::Progressing, |index| passed.push(index))?;
    for index in passed {
        let name = tick.hook_name(index);
        if kind == HookKind::PreRollout {
            tick.normal("HookPassed", format!("Pre-rollout check {name} passed"));
        }
        record_webhook(tick, name, Verdict::Pass, String::new());
    }
    let Hooks::Refused { index, why } = outcome else {
        return Ok(true);
    };
    let (name, id) = (tick.hook_name(index), tick.canary_id());
    let text = format!("Halt {id} advancement {what} {name} failed {why}");
    record_webhook(tick, name, Verdict::Fail, text.clone());
    halt(tick, text);
    Ok(false)
}

fn record_webhook(tick: &mut Tick<'_>, name: &str, verdict: Verdict, message: String) {
    let check = Check {
        time: tick.now(),
        name: name.to_owned(),
        weight: tick.live.canary,
        value: None,
        threshold: "passes".to_owned(),
        verdict,
        message,
    };
    tick.record_checks([check]);
}

/// Counts a failed check. (Flagger: cumulative, never reset by a pass.)
fn halt(tick: &mut Tick<'_>, text: String) {
    tick.warning("Halt", text.clone());
    tick.hold(WaitingReason::CheckFailed, text);
    tick.status.failed_checks = tick.status.failed_checks.saturating_add(1);
    tick.checked();
    if tick.status.failed_checks >= tick.canary.analysis.threshold {
        tick.wake_in(Duration::ZERO);
    }
}

/// Goes to the next weight after a passed check, or promotes if there is none.
fn step(tick: &mut Tick<'_>, starting: bool) -> Planned {
    if tick.status.phase == Phase::Progressing && !traffic_increase_confirmed(tick)? {
        return Ok(());
    }
    match tick.canary.analysis.strategy.next(tick.position()) {
        Some(next) => {
            tick.move_to(next);
            tick.status.phase = Phase::Progressing;
            tick.announce_advance(next);
        }
        // Only the pre-rollout webhooks have passed; the metrics follow in the next check.
        None if starting => {}
        None => {
            if promotion_confirmed(tick)? {
                promote::copy(tick);
            }
        }
    }
    Ok(())
}

/// Asks the confirm-traffic-increase gates (Flagger: in every check, also in the one that would promote, but not while
/// waiting for promotion). A gate that closes causes one event and one alert.
fn traffic_increase_confirmed(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    let gate = Gate {
        kind: HookKind::ConfirmTrafficIncrease,
        passed: "Confirm-traffic-increase check",
        closed: "waiting for traffic increase approval",
        alert: "Canary traffic increase is waiting for approval.",
    };
    ask(tick, &gate)
}

/// Asks the confirm-promotion gates. If one is closed, the phase becomes `WaitingPromotion`, and checks continue. The
/// status keeps the live weight (Flagger writes 0).
fn promotion_confirmed(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    let gate = Gate {
        kind: HookKind::ConfirmPromotion,
        passed: "Confirm-promotion check",
        closed: "waiting for promotion approval",
        alert: "Canary promotion is waiting for approval.",
    };
    let open = ask(tick, &gate)?;
    if !open {
        tick.status.phase = Phase::WaitingPromotion;
    }
    Ok(open)
}

struct Gate {
    kind: HookKind,
    passed: &'static str,
    closed: &'static str,
    alert: &'static str,
}

fn ask(tick: &mut Tick<'_>, gate: &Gate) -> Result<bool, Ask> {
    let mut passed = Vec::new();
    let outcome = tick.ask_hooks(gate.kind, Phase::Progressing, |index| passed.push(index))?;
    for index in passed {
        let name = tick.hook_name(index);
        tick.normal("GatePassed", format!("{} {name} passed", gate.passed));
    }
    let Hooks::Refused { index, why } = outcome else {
        return Ok(true);
    };
    let name = tick.hook_name(index);
    let message = format!("{} {name}: {why}", gate.closed);
    let entered =
        gate.kind == HookKind::ConfirmPromotion && tick.status.phase == Phase::WaitingPromotion;
    let known = entered
        || tick
            .observed
            .status
            .waiting
            .as_ref()
            .is_some_and(|waiting| {
                waiting.reason == WaitingReason::Approval
                    && waiting.message.starts_with(gate.closed)
            });
    if !known {
        let id = tick.canary_id();
        tick.warning(
            "GateClosed",
            format!("Halt {id} advancement {} {name}", gate.closed),
        );
        if !tick.canary.analysis.hooks[index].mute_alert {
            tick.alert(Severity::Warn, false, gate.alert.to_owned());
        }
    }
    tick.hold(WaitingReason::Approval, message);
    Ok(false)
}

//! Detection of new revisions between two releases, and the start of their runs.

use crate::{
    action::Severity,
    canary::HookKind,
    phase::Phase,
    readiness::Readiness,
    status::{REVISION_PREFIX, WaitingReason},
    tick::{
        Tick,
        hooks::{Ask, Hooks, Planned},
    },
};

use super::{
    cleanup,
    repair::repair,
    rollback::{Cause, roll_back, rollback_asked},
    run,
};

/// Adopts a status written by another controller, or by a version with another digest: the current revision of the
/// target is taken as that of the status, so a change of controller starts no release.
///
/// Not in `Waiting`, where the other controller has already found a new revision in the target.
pub(super) fn adopt_foreign_revision(tick: &mut Tick<'_>) {
    let own = tick
        .status
        .last_applied
        .as_ref()
        .is_some_and(|text| text.starts_with(REVISION_PREFIX));
    match tick.status.phase {
        _ if own => {}
        Phase::None | Phase::Initializing | Phase::Waiting | Phase::Terminating => {}
        Phase::Initialized | Phase::Succeeded => {
            tick.take_up_target();
            tick.status
                .last_promoted
                .clone_from(&tick.status.last_applied);
            tick.status.promoted_configs = Some(tick.status.tracked_configs.clone());
        }
        Phase::Failed => tick.take_up_target(),
        Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising => {
            tick.take_up_target();
            tick.status.run_started = Some(tick.now());
            tick.status.pre_rollout_done = tick.live.canary > 0;
            // Flagger writes weight 0 while it waits for approval of the promotion.
            tick.status.canary_weight = tick.live.canary;
            tick.checked();
        }
    }
}

/// Detects a new revision and starts its run once primary and gates allow it. The revision is recorded when the run
/// starts, so one that has to wait is not lost (Flagger loses it in phase Failed).
pub(super) fn detect(tick: &mut Tick<'_>) -> Planned {
    repair(tick);
    if !tick.target_changed() {
        rest(tick);
    } else if tick.target_is_promoted() {
        // Recorded, so that the revision that failed is new again if it is applied once more (Flagger).
        tick.take_up_target();
        rest(tick);
    } else {
        cleanup::call_webhooks(tick, cleanup::take_unanalysed_traffic);
        if !begin(tick)? {
            cleanup::retire_target(tick);
        }
    }
    Ok(())
}

/// Starts the run of a new revision unless it has to wait. Returns whether it started.
fn begin(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    let mut stuck = None;
    match tick.primary.clone() {
        Readiness::Ready => {}
        Readiness::Waiting(_) if tick.canary.skip_analysis => {}
        Readiness::Waiting(why) => {
            tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
            return Ok(false);
        }
        // Waiting would not help, and a new revision may fix a broken primary.
        Readiness::Stuck(why) => stuck = Some(why),
    }
    tick.ready();
    if tick.status.phase == Phase::Waiting && !tick.is_due() {
        tick.sleep_until_due();
        return Ok(false);
    }
    if tick.status.phase == Phase::Waiting && rollback_asked(tick, Phase::Waiting)? {
        tick.take_up_target();
        roll_back(tick, Cause::Webhook);
        return Ok(false);
    }
    if !confirmed(tick)? {
        return Ok(false);
    }
    start(tick, stuck);
    Ok(true)
}

/// Handles a target without a new revision: the traffic matches the status, and nothing waits.
fn rest(tick: &mut Tick<'_>) {
    if tick.status.phase == Phase::Waiting {
        // The waiting revision was withdrawn. The phase is again that of the last release.
        let promoted = tick.status.last_applied == tick.status.last_promoted;
        tick.status.phase = if promoted {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
    }
    cleanup::call_webhooks(tick, |tick| {
        cleanup::take_back_traffic(tick);
        keep_weight(tick);
        cleanup::retire_target(tick);
    });
    if cleanup::is_held_up(tick) {
        cleanup::hold(tick);
        return;
    }
    match (&tick.observed.primary, tick.primary.clone()) {
        (None, Readiness::Stuck(why)) => {
            tick.wait_for_readiness(WaitingReason::PrimaryNotReady, why);
        }
        _ => tick.moving(),
    }
}

/// Takes traffic from the target that no release gave it.
fn keep_weight(tick: &mut Tick<'_>) {
    let expected = if tick.status.phase == Phase::Failed {
        tick.status.canary_weight
    } else {
        0
    };
    if tick.live.canary > expected && tick.primary_may_take_over() {
        tick.set_canary_weight(expected);
    }
}

/// Asks the confirm-rollout gates. If one is closed, the phase becomes `Waiting`, with one event and one alert.
fn confirmed(tick: &mut Tick<'_>) -> Result<bool, Ask> {
    let mut passed = Vec::new();
    let phase = tick.status.phase;
    let gates = tick.ask_hooks(HookKind::ConfirmRollout, phase, |index| passed.push(index))?;
    for index in passed {
        let name = tick.hook_name(index);
        tick.normal("GatePassed", format!("Confirm-rollout check {name} passed"));
    }
    let Hooks::Refused { index, why } = gates else {
        return Ok(true);
    };
    let name = tick.hook_name(index);
    tick.checked();
    if phase != Phase::Waiting {
        let id = tick.canary_id();
        tick.warning(
            "GateClosed",
            format!("Halt {id} advancement waiting for approval {name}"),
        );
        if !tick.canary.analysis.hooks[index].mute_alert {
            tick.alert(
                Severity::Warn,
                false,
                "Canary is waiting for approval.".to_owned(),
            );
        }
        tick.status.phase = Phase::Waiting;
    }
    let message = format!("waiting for rollout approval {name}: {why}");
    tick.hold(WaitingReason::Approval, message);
    Ok(false)
}

/// Starts the run of the revision in the target.
fn start(tick: &mut Tick<'_>, stuck: Option<String>) {
    if let Some(why) = stuck {
        tick.warning("NotReady", why);
    }
    let target = tick.target_id();
    tick.normal(
        "NewRevision",
        format!("New revision detected! Scaling up {target}"),
    );
    tick.scale_up_target();
    let message = "New revision detected, progressing canary analysis.".to_owned();
    tick.alert(Severity::Info, true, message);
    tick.status.phase = Phase::Progressing;
    run::begin(tick);
}

//! Random specifications, random disturbances, and the end of all disturbances.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::{
    REVISION_PREFIX,
    canary::{Analysis, Canary, Hook, HookKind, Metric, MetricKind, Range},
    observed::{Presence, Weights},
    strategy::{self, Steps},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    deployment::Release,
    driver::Driver,
    script,
    world::{Script, World},
};

pub(crate) fn release(name: &str) -> Release {
    Release {
        revision: format!("{REVISION_PREFIX}{name}"),
        configs: BTreeMap::new(),
    }
}

pub(crate) fn any_steps() -> impl Strategy<Value = Steps> {
    prop_oneof![
        (1..=100u8, 1..=100u8).prop_map(|(step, max)| Steps::Linear {
            step: step.max(8),
            max
        }),
        vec(1..=100u8, 1..6).prop_map(Steps::List),
    ]
}

pub(crate) fn any_percent() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), Just(100), 0..=100u8]
}

pub(crate) fn any_metric() -> impl Strategy<Value = Metric> {
    use MetricKind::{Duration, Inline, SuccessRate, Template};
    let bound = || prop::option::of(0.0..1000.0f64);
    (
        select(vec![Duration, Inline, SuccessRate, Template]),
        bound(),
        bound(),
    )
        .prop_map(|(kind, one, other)| {
            let (min, max) = match (one, other) {
                (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
                (None, None) => (None, Some(1.0)),
                bounds => bounds,
            };
            Metric {
                name: format!("{kind:?}"),
                kind,
                range: Range { min, max },
            }
        })
}

pub(crate) fn any_hooks() -> impl Strategy<Value = Vec<Hook>> {
    use HookKind::{
        ConfirmPromotion, ConfirmRollout, ConfirmTrafficIncrease, Event, PostRollout, PreRollout,
        Rollback, Rollout,
    };
    let kinds = vec![
        ConfirmRollout,
        PreRollout,
        Rollout,
        ConfirmTrafficIncrease,
        ConfirmPromotion,
        PostRollout,
        Rollback,
        Event,
    ];
    vec((select(kinds), any::<bool>()), 0..6).prop_map(|hooks| {
        let named = |(index, (kind, mute_alert)): (usize, (HookKind, bool))| Hook {
            name: format!("hook-{index}"),
            kind,
            mute_alert,
        };
        hooks.into_iter().enumerate().map(named).collect()
    })
}

prop_compose! {
    pub(crate) fn any_canary()(
        interval in 4..20u64,
        threshold in 1..4u32,
        ready in (any_percent(), any_percent()),
        steps in any_steps(),
        promotion_step in prop_oneof![Just(0), 1..=100u8],
        metrics in vec(any_metric(), 0..3),
        hooks in any_hooks(),
        skip_analysis in prop::bool::weighted(0.1),
        deadline in 30..60u64,
    ) -> Canary {
        Canary {
            skip_analysis,
            progress_deadline: Duration::from_secs(deadline),
            analysis: Analysis {
                interval: Duration::from_secs(interval),
                threshold,
                primary_ready_percent: ready.0,
                canary_ready_percent: ready.1,
                strategy: strategy::Strategy::Weighted(steps),
                promotion_step: if promotion_step == 0 { 0 } else { promotion_step.max(10) },
                metrics,
                hooks,
            },
            ..script::canary()
        }
    }
}

/// A change of the world or of the specification.
#[derive(Debug, Clone)]
pub(crate) enum Disturbance {
    Deploy(u8),
    Config(u8),
    Break(u8),
    Fix(u8),
    Fail(u8),
    Starve(bool),
    Hook(usize, bool),
    Measure(usize, Script),
    Suspend(bool),
    Skip(bool),
    Weight(u8),
    Lag(i64),
    Gateway(bool),
    Drift(usize),
    Delete(usize),
    DeletePrimary,
    DeleteTarget(bool),
    Scale(u32),
    Clock(i64),
    Crash(usize),
    Respecify(Steps, u32),
}

pub(crate) fn any_disturbance() -> impl Strategy<Value = Disturbance> {
    use Disturbance as D;
    let script = prop_oneof![
        vec(
            prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -10.0..1100.0f64],
            0..4
        )
        .prop_map(|values| Script::Values(
            values
                .into_iter()
                .map(|v| (format!("{{v=\"{v}\"}}"), v))
                .collect()
        )),
        Just(Script::NoData),
        Just(Script::Error(
            "Metric query failed for it: refused".to_owned()
        )),
    ];
    prop_oneof![
        4 => (1..5u8).prop_map(D::Deploy),
        1 => (1..4u8).prop_map(D::Config),
        1 => (1..5u8).prop_map(D::Break),
        1 => (1..5u8).prop_map(D::Fix),
        1 => (1..5u8).prop_map(D::Fail),
        1 => any::<bool>().prop_map(D::Starve),
        2 => (0..6usize, any::<bool>()).prop_map(|(hook, pass)| D::Hook(hook, pass)),
        2 => (0..3usize, script).prop_map(|(metric, script)| D::Measure(metric, script)),
        1 => any::<bool>().prop_map(D::Suspend),
        1 => any::<bool>().prop_map(D::Skip),
        1 => (0..=100u8).prop_map(D::Weight),
        1 => (0..6i64).prop_map(D::Lag),
        1 => any::<bool>().prop_map(D::Gateway),
        1 => (0..4usize).prop_map(D::Drift),
        1 => (0..4usize).prop_map(D::Delete),
        1 => Just(D::DeletePrimary),
        1 => any::<bool>().prop_map(D::DeleteTarget),
        1 => (0..4u32).prop_map(D::Scale),
        1 => (-5000..5000i64).prop_map(D::Clock),
        3 => (0..8usize).prop_map(D::Crash),
        1 => (any_steps(), 1..4u32).prop_map(|(steps, threshold)| D::Respecify(steps, threshold)),
    ]
}

pub(crate) fn disturb(driver: &mut Driver, disturbance: Disturbance) {
    use Disturbance as D;
    let name = |number: u8| format!("{REVISION_PREFIX}v{number}");
    let Driver {
        canary,
        world,
        crash_after,
        ..
    } = driver;
    world.note(format_args!("{disturbance:?}"));
    let now = world.now;
    match disturbance {
        D::Deploy(version) => {
            let template = Release {
                revision: name(version),
                ..world.target.template.clone()
            };
            world.target.set_template(template, now);
        }
        D::Config(content) => {
            let configs = &mut world.target.template.configs;
            configs.insert("configmap/app".to_owned(), content.to_string());
        }
        D::Break(version) => drop(world.broken.insert(name(version))),
        D::Fix(version) => drop(world.broken.remove(&name(version)).then_some(())),
        D::Fail(version) => drop(world.failing.insert(name(version))),
        D::Starve(starved) => {
            if let Some((primary, _)) = &mut world.primary {
                primary.starved = starved;
            }
        }
        D::Hook(index, pass) => {
            let Some(hook) = canary.analysis.hooks.get(index) else {
                return;
            };
            if pass {
                world.refused.remove(&hook.name);
                world.rollbacks.insert(hook.name.clone());
            } else {
                world.rollbacks.remove(&hook.name);
                world
                    .refused
                    .insert(hook.name.clone(), "Forbidden".to_owned());
            }
        }
        D::Measure(index, script) => {
            let Some(metric) = canary.analysis.metrics.get(index) else {
                return;
            };
            world.metrics.insert(metric.name.clone(), script);
        }
        D::Suspend(suspend) => canary.suspend = suspend,
        D::Skip(skip) => canary.skip_analysis = skip,
        D::Weight(weight) => world.route = world.route.map(|_| Weights::canary(weight)),
        D::Lag(seconds) => world.route_lag = seconds,
        D::Gateway(refuses) => world.route_refused = refuses,
        D::Drift(index) => *object(world, index) = Presence::Drifted,
        D::Delete(index) => {
            *object(world, index) = Presence::Missing;
            if index == 3 {
                world.route = None;
            }
        }
        D::DeletePrimary => world.primary = None,
        D::DeleteTarget(true) => world.target_gone = true,
        D::DeleteTarget(false) => world.recreate_target(),
        D::Scale(replicas) => world.target.scale(replicas, now),
        D::Clock(error) => world.clock_error = error,
        D::Crash(actions) => *crash_after = Some(actions),
        D::Respecify(steps, threshold) => {
            canary.analysis.strategy = strategy::Strategy::Weighted(steps);
            canary.analysis.threshold = threshold;
        }
    }
}

fn object(world: &mut World, index: usize) -> &mut Presence {
    let objects = &mut world.objects;
    match index {
        0 => &mut objects.canary_service,
        1 => &mut objects.primary_service,
        2 => &mut objects.apex_service,
        _ => &mut objects.route,
    }
}

/// Ends all disturbances.
pub(crate) fn heal(driver: &mut Driver) {
    let Driver {
        canary,
        world,
        crash_after,
        ..
    } = driver;
    world.note("healed");
    canary.suspend = false;
    *crash_after = None;
    world.broken.clear();
    world.failing.clear();
    world.refused.clear();
    world.rollbacks.clear();
    world.metrics.clear();
    world.clock_error = 0;
    world.route_refused = false;
    world.recreate_target();
    if let Some((primary, _)) = &mut world.primary {
        primary.starved = false;
    }
}

//! Properties of whole runs, for random specifications in random worlds.
//!
//! `Driver::decide` also checks every single plan against `rules`. The tests here are about the results of plans.

use canary_engine::{
    REVISION_PREFIX,
    action::Action,
    canary::{Canary, Hook, HookKind},
    observed::Weights,
    phase::Phase,
    status::Cleanup,
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    driver::Driver,
    random::{Disturbance, any_canary, any_disturbance, disturb, heal, release},
    world::World,
};

/// A limit in seconds, far longer than the longest run: steps, checks, promotion steps and the slowest rollout, for two
/// runs in a row.
fn bound(canary: &Canary) -> i64 {
    let analysis = &canary.analysis;
    let steps = 14 + 11 + i64::from(analysis.threshold) + 6;
    let interval = analysis.interval.as_secs() as i64;
    2 * (steps * interval + canary.progress_deadline.as_secs() as i64) + 60
}

/// A canary after its initialization without disturbances.
fn initialized(canary: Canary, replicas: u32, startup: i64) -> Driver {
    let mut world = World::new(release("v1"), replicas);
    world.startup = startup;
    let mut driver = Driver::new(canary, world);
    let limit = bound(&driver.canary);
    let done = driver.advance_until(limit, |world| world.status.phase == Phase::Initialized);
    assert!(done.is_some(), "not initialized: {:#?}", driver.world.log);
    driver
}

/// Deploys `name` and runs to the end of the release.
fn released(driver: &mut Driver, name: &str) -> Phase {
    let now = driver.world.now;
    driver.world.target.set_template(release(name), now);
    let limit = bound(&driver.canary);
    driver.advance_until(limit, |world| !world.is_idle());
    let end = driver.advance_until(limit, World::is_idle);
    assert!(
        end.is_some(),
        "no end after {limit} s: {:#?}",
        driver.world.log
    );
    driver.world.status.phase
}

/// The messages of the published events in order, without those about slow rollouts.
fn messages(world: &World) -> Vec<String> {
    let message = |line: &String| line.split_once(" event ").map(|(_, text)| text.to_owned());
    let lasting = |message: &String| !message.starts_with("NotReady");
    world
        .log
        .iter()
        .filter_map(message)
        .filter(lasting)
        .collect()
}

/// The times at which the live weights were set, in seconds.
fn weight_times(world: &World) -> Vec<i64> {
    let time = |line: &String| {
        let (minutes, seconds) = line[..line.find(' ').unwrap()].split_once(':').unwrap();
        minutes.parse::<i64>().unwrap() * 60 + seconds.parse::<i64>().unwrap()
    };
    world
        .log
        .iter()
        .filter(|line| line.contains("  set weights "))
        .map(time)
        .collect()
}

/// A configuration with so many cases, unless `PROPTEST_CASES` is set.
fn config(cases: u32) -> ProptestConfig {
    let wanted = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        wanted.cases
    } else {
        cases
    };
    ProptestConfig { cases, ..wanted }
}

proptest! {
    #![proptest_config(config(96))]

    /// Under any disturbance, no plan breaks a rule and planning ends. The canary recovers after the disturbances.
    #[test]
    fn a_canary_keeps_the_rules_and_recovers_under_any_disturbance(
        canary in any_canary(),
        replicas in 0..4u32,
        startup in 0..6i64,
        disturbances in vec((0..25i64, any_disturbance()), 0..25),
    ) {
        let mut world = World::new(release("v1"), replicas);
        world.startup = startup;
        let mut driver = Driver::new(canary, world);
        for (pause, disturbance) in disturbances {
            driver.advance(pause);
            disturb(&mut driver, disturbance);
        }
        driver.tick();
        heal(&mut driver);
        let limit = bound(&driver.canary);
        driver.advance(limit);
        let observed = driver.observe();
        let world = &driver.world;
        let (_, plan) = driver.decide(&observed);
        prop_assert!(world.is_idle(), "{:?} after {limit} s: {:#?}", world.status, world.log);
        prop_assert!(plan.actions.is_empty() && plan.requeue.is_none(), "{plan:#?} {:#?}", world.log);
        let target = &world.target.template;
        prop_assert_eq!(world.status.last_applied.as_ref(), Some(&target.revision));
        if world.status.phase != Phase::Failed {
            prop_assert_eq!(world.route, Some(Weights::canary(0)));
            prop_assert_eq!(&world.primary.as_ref().unwrap().0.template, target);
        }
    }

    /// A release in which everything passes is promoted, and one in which every check fails is rolled back, both in
    /// bounded time. The primary runs the promoted revision and serves all traffic.
    #[test]
    fn good_releases_are_promoted_and_bad_ones_rolled_back(
        canary in any_canary(),
        replicas in 1..4u32,
        startup in 0..6i64,
        good in any::<bool>(),
    ) {
        let judged = !canary.skip_analysis
            && canary.analysis.hooks.iter().all(|hook| hook.kind != HookKind::Rollback)
            && !canary.analysis.metrics.is_empty();
        let mut driver = initialized(canary, replicas, startup);
        if !good {
            driver.world.failing.insert(format!("{REVISION_PREFIX}v2"));
        }
        let end = released(&mut driver, "v2");
        let world = &driver.world;
        let expected = if good || !judged { Phase::Succeeded } else { Phase::Failed };
        if good || judged {
            prop_assert_eq!(end, expected, "{:#?}", world.log);
        }
        let runs = if end == Phase::Succeeded { "v2" } else { "v1" };
        prop_assert_eq!(&world.primary.as_ref().unwrap().0.template, &release(runs));
        prop_assert_eq!(world.route, Some(Weights::canary(0)));
        prop_assert_eq!(world.target.wanted, 0);
    }

    /// A controller that dies repeatedly, after any number of actions, and restarts at once or after more than an
    /// interval, reaches the same end by the same steps: the same events in the same order, each once, and the same
    /// weights, each set once.
    #[test]
    fn a_crash_after_any_action_changes_nothing(
        canary in any_canary(),
        replicas in 1..4u32,
        good in any::<bool>(),
        crashes in vec((0..6usize, 0..25i64), 1..12),
    ) {
        let run = |crashes: &[(usize, i64)]| {
            let mut driver = initialized(canary.clone(), replicas, 2);
            if !good {
                driver.world.failing.insert(format!("{REVISION_PREFIX}v2"));
            }
            driver.world.log.clear();
            driver.crashes = crashes.to_vec();
            released(&mut driver, "v2");
            driver
        };
        let (smooth, crashed) = (run(&[]), run(&crashes));
        let weights = |driver: &Driver| -> Vec<String> {
            let set = |line: &&String| line.contains("set weights");
            driver.world.log.iter().filter(set).map(|line| line[7..].to_owned()).collect()
        };
        let both = || format!("{:#?}\n{:#?}", smooth.world.log, crashed.world.log);
        prop_assert_eq!(messages(&smooth.world), messages(&crashed.world), "{}", both());
        prop_assert_eq!(weights(&smooth), weights(&crashed), "{}", both());
        let interval = canary.analysis.interval.as_secs() as i64;
        for pair in weight_times(&crashed.world).windows(2) {
            prop_assert!(pair[1] - pair[0] >= interval, "hurried: {}", both());
        }
        prop_assert_eq!(smooth.world.route, crashed.world.route);
        prop_assert_eq!(smooth.world.status.phase, crashed.world.status.phase);
        prop_assert_eq!(smooth.world.status.failed_checks, crashed.world.status.failed_checks);
        let template = |driver: &Driver| driver.world.primary.as_ref().unwrap().0.template.clone();
        prop_assert_eq!(template(&smooth), template(&crashed));
    }

    /// While the clock stands still or is set back, nothing advances beyond the first step, which needs no time.
    #[test]
    fn a_clock_that_does_not_advance_advances_nothing(
        canary in any_canary(),
        back in 0..100_000i64,
        seconds in 1..200i64,
    ) {
        let mut driver = initialized(Canary { skip_analysis: false, ..canary }, 1, 0);
        let now = driver.world.now;
        driver.world.target.set_template(release("v2"), now);
        driver.advance(3);
        let before = (driver.world.route, driver.world.status.phase);
        for second in 0..seconds {
            driver.world.clock_error = -back - second;
            driver.advance(1);
        }
        let checked = driver.world.status.last_check.is_some();
        if checked {
            prop_assert_eq!((driver.world.route, driver.world.status.phase), before);
        }
    }

    /// However often the controller restarts, no step comes earlier than an interval after the last one.
    #[test]
    fn restarts_do_not_hurry_steps(canary in any_canary(), pauses in vec(1..9i64, 1..60)) {
        let mut driver = initialized(canary, 1, 1);
        let now = driver.world.now;
        driver.world.target.set_template(release("v2"), now);
        let interval = driver.canary.analysis.interval.as_secs() as i64;
        let mut last: Option<(i64, u8)> = None;
        for pause in pauses {
            driver.restart();
            driver.advance(pause);
            let Some(weights) = driver.world.route else { continue };
            let changed = last.is_none_or(|(_, canary)| canary != weights.canary);
            if changed && weights.canary > 0 {
                if let Some((time, _)) = last.filter(|(_, canary)| *canary > 0) {
                    // The time is that of the end of a pause, so it may be late by a pause, but not early.
                    prop_assert!(driver.world.now - time + 8 >= interval, "{:#?}", driver.world.log);
                }
                last = Some((driver.world.now, weights.canary));
            }
        }
    }
}

/// A revision that has not been analysed has no traffic, unless the primary cannot take it. No action moves requests
/// from available replicas to unavailable ones.
#[test]
fn requests_go_only_to_analysed_and_available_replicas() {
    proptest!(config(96), |(
        canary in any_canary(),
        replicas in 1..4u32,
        startup in 0..6i64,
        disturbances in vec((0..25i64, any_disturbance()), 0..20),
    )| {
        let mut driver = initialized(canary, replicas, startup);
        driver.watch = Some(watch_traffic);
        driver.inspect = Some(inspect_traffic);
        for (pause, disturbance) in disturbances {
            driver.advance(pause);
            disturb(&mut driver, disturbance);
        }
        driver.advance(100);
    });
}

fn inspect_traffic(canary: &Canary, world: &World) {
    let weight = world.route.map_or(0, |weights| weights.canary);
    let status = &world.status;

    let started = !matches!(status.phase, Phase::None | Phase::Initializing);
    if weight == 0 || canary.suspend || !started {
        return;
    }
    let observed = world.observe(canary);
    let current = status.last_applied.as_ref() == Some(&observed.target.revision)
        && status.tracked_configs == observed.target.configs;
    let analysed = current && (status.phase != Phase::Progressing || status.pre_rollout_done);
    let Some(primary) = observed.primary else {
        return;
    };
    assert!(
        observed.target.workload.available > 0 || primary.workload.available == 0,
        "{weight} percent to a canary without available replicas: {status:?} {:#?}",
        world.log
    );
    let overdue = primary.workload.unavailable_since.is_some_and(|since| {
        observed.now.duration_since(since).as_secs() >= canary.progress_deadline.as_secs() as i64
    });
    let fit =
        primary.workload.available > 0 && primary.workload.deadline_exceeded.is_none() && !overdue;
    assert!(
        analysed || !fit,
        "{weight} percent to a revision that was not analysed: {status:?} {:#?}",
        world.log
    );
}

fn watch_traffic(before: &World, action: &Action, after: &World) {
    let lost = |world: &World| {
        let weights = world.route.unwrap_or(Weights::canary(0));
        let primary = world
            .primary
            .as_ref()
            .map_or(0, |(primary, _)| primary.available());
        let dead = |available: u32, percent: u8| if available == 0 { percent } else { 0 };
        let target = if world.target_gone {
            0
        } else {
            world.target.available()
        };
        dead(primary, weights.primary) + dead(target, weights.canary)
    };
    if !matches!(action, Action::ScaleDownTarget) {
        assert!(
            lost(after) <= lost(before),
            "{action} loses requests: {:#?}",
            after.log
        );
    } else if let Some(weights) = after.route {
        let started = !matches!(before.status.phase, Phase::None | Phase::Initializing);
        let pending = before.route_pending().is_some() && before.leads_to_canary;
        let pending = pending && before.target.available() > 0;
        assert!(
            weights.canary == 0 && !(started && pending),
            "{action} under traffic: {:#?}",
            after.log
        );
    }
}

/// After any release the target has either traffic or no replicas. It has traffic only if it was copied to a primary
/// that did not become ready, or if there is no primary.
#[test]
fn a_release_leaves_no_replicas_without_traffic() {
    let leaves_replicas = |disturbance: &Disturbance| {
        matches!(disturbance, Disturbance::Scale(_) | Disturbance::Weight(_))
    };
    let happens = any_disturbance().prop_filter("replicas or weights of someone else", move |it| {
        !leaves_replicas(it)
    });
    proptest!(config(96), |(
        canary in any_canary(),
        disturbances in vec((0..25i64, happens), 0..25),
    )| {
        let mut driver = initialized(canary, 2, 1);
        for (pause, disturbance) in disturbances {
            driver.advance(pause);
            disturb(&mut driver, disturbance);
        }
        heal(&mut driver);
        let limit = bound(&driver.canary);
        driver.advance(limit);
        let World { status, route, target, primary, log, .. } = &driver.world;
        if *route == Some(Weights::canary(0)) {
            prop_assert_eq!(target.wanted, 0, "{:?} {:#?}", status, log);
        } else {
            let promoted = status.last_applied == status.last_promoted
                && status.promoted_configs.as_ref() == Some(&status.tracked_configs);
            prop_assert!(primary.is_none() || !promoted, "{:?} {:#?}", status, log);
        }
    });
}

/// From any existing status, of this controller, an earlier version or Flagger, no plan breaks a rule and the canary
/// becomes idle.
#[test]
fn every_existing_status_leads_to_an_idle_canary() {
    let phases = Phase::ALL
        .into_iter()
        .filter(|phase| !matches!(phase, Phase::None | Phase::Terminating));
    let revision = select(vec!["sha256:v1", "sha256:v2", "sha256:v3", "6f8d9c5b7"]);
    proptest!(config(96), |(
        canary in any_canary(),
        phase in select(phases.collect::<Vec<_>>()),
        applied in prop::option::of(revision.clone()),
        promoted in prop::option::of(revision),
        knows_configs in any::<bool>(),
        cleanup in select(vec![None, Some(Cleanup::PostRollout), Some(Cleanup::ScaleDown)]),
        (noted, weight) in (0..=100u8, 0..=100u8),
        held in 1..4u8,
        gone in 0..30i64,
        lag in 0..6i64,
    )| {
        let mut driver = initialized(canary, 1, 1);
        disturb(&mut driver, Disturbance::Deploy(held));
        let status = &mut driver.world.status;
        status.phase = phase;
        let running = matches!(
            phase,
            Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising
        );
        let own = |revision: &&str| !running || revision.starts_with(REVISION_PREFIX);
        // The run of another controller would have another primary.
        let run = applied.filter(own).or(running.then_some("sha256:v2"));
        status.last_applied = run.map(str::to_owned);
        status.last_promoted = promoted.map(str::to_owned);
        if !knows_configs {
            status.promoted_configs = None;
        }
        status.cleanup = cleanup.filter(|_| phase == Phase::Failed);
        status.canary_weight = noted;
        driver.world.route = Some(Weights::canary(weight));
        driver.world.route_lag = lag;
        driver.world.target_gone = gone > 0;
        driver.advance(gone);
        driver.world.recreate_target();
        let limit = bound(&driver.canary);
        driver.advance(limit);
        let world = &driver.world;
        prop_assert!(world.is_idle(), "{:?} {:#?}", world.status, world.log);
        prop_assert_eq!(world.route, Some(Weights::canary(0)), "{:?} {:#?}", world.status, world.log);
    });
}

/// Under any disturbance, a recreated primary has a template and configuration that are promoted or being promoted.
#[test]
fn a_primary_is_recreated_only_from_a_promoted_revision() {
    proptest!(config(96), |(
        canary in any_canary(),
        disturbances in vec((0..25i64, prop_oneof![
            2 => any_disturbance(),
            1 => (1..4u8).prop_map(Disturbance::Config),
            1 => Just(Disturbance::DeletePrimary),
        ]), 0..20),
    )| {
        let mut driver = initialized(canary, 1, 1);
        driver.watch = Some(|before, action, after| {
            let ended = matches!(
                before.status.phase,
                Phase::Initialized | Phase::Waiting | Phase::Succeeded | Phase::Failed
            );
            if let (Action::CreatePrimary { .. }, true) = (action, ended) {
                let made = &after.primary.as_ref().unwrap().0.template;
                assert!(after.promoted.contains(made), "{made:?} {:#?}", after.log);
            }
        });
        for (pause, disturbance) in disturbances {
            driver.advance(pause);
            disturb(&mut driver, disturbance);
        }
        driver.advance(100);
    });
}

/// A rollback that a webhook asked for completes, even if the controller dies repeatedly and the webhook stops asking
/// once an effect is visible: removed replicas, a called webhook, or the phase.
#[test]
fn a_requested_rollback_survives_crashes() {
    proptest!(config(96), |(
        canary in any_canary(),
        asked_after in 0..60i64,
        lag in 0..5i64,
        crashes in vec((0..8usize, 0..25i64), 1..6),
    )| {
        let mut canary = Canary { skip_analysis: false, ..canary };
        let hooks = &mut canary.analysis.hooks;
        hooks.retain(|hook| hook.kind != HookKind::Rollback);
        for (name, kind) in [("stop", HookKind::Rollback), ("notify", HookKind::PostRollout)] {
            hooks.push(Hook { name: name.to_owned(), kind, mute_alert: false });
        }
        let mut driver = initialized(canary, 1, 1);
        driver.world.route_lag = lag;
        let now = driver.world.now;
        driver.world.target.set_template(release("v2"), now);
        driver.advance(asked_after);
        driver.world.rollbacks.insert("stop".to_owned());
        driver.world.asks_until_seen = true;
        driver.crashes = crashes;
        let limit = bound(&driver.canary);
        driver.advance(limit);
        let world = &driver.world;
        let logged = |text: &str| world.log.iter().any(|line| line.contains(text));
        if logged("manual webhook invoked") {
            prop_assert_eq!(world.status.phase, Phase::Failed, "{:#?}", world.log);
            prop_assert_eq!(world.target.wanted, 0, "{:#?}", world.log);
            prop_assert_eq!(world.status.cleanup, None);
            prop_assert!(logged("call PostRollout"), "{:#?}", world.log);
        }
    });
}

//! Properties of whole runs, for random specifications in random worlds.
//!
//! Every plan made here is also checked by `canary_engine::check` (see `Driver::decide`), which covers the rules
//! about single plans; the tests below are about what plans lead to.

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

/// Far longer than the longest run: the sum of all intervals that steps, checks, promotion steps and waiting for
/// the slowest rollout can take, for two runs in a row.
fn bound(canary: &Canary) -> i64 {
    let analysis = &canary.analysis;
    let steps = 14 + 11 + i64::from(analysis.threshold) + 6;
    let interval = analysis.interval.as_secs() as i64;
    2 * (steps * interval + canary.progress_deadline.as_secs() as i64) + 60
}

/// A canary that has been initialized in a world without trouble.
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

/// The messages of the published events in order, but for those that tell how long a rollout takes.
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

/// When the live weights were set, in seconds.
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

/// So many cases, unless `PROPTEST_CASES` says otherwise.
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

    /// Whatever happens, no plan breaks a rule, planning ends, and once the world is well again, so is the canary.
    #[test]
    fn every_disturbed_world_keeps_the_rules_and_recovers(
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

    /// A release in which everything passes is promoted, one in which every check fails is rolled back, both
    /// in bounded time; the primary runs what was promoted and serves everything.
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

    /// A controller that dies after any number of actions, again and again, and is back at once or after more than an
    /// interval, comes to the same end by the same steps: the same events in the same order, each once, and the same
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

    /// A clock that stands still, or is back by any amount, sets no weight and promotes nothing beyond the first step,
    /// which needs no time.
    #[test]
    fn a_clock_that_does_not_move_on_advances_nothing(
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

    /// However often the controller is started again, no step comes earlier than an interval after the last.
    #[test]
    fn restarts_do_not_hurry(canary in any_canary(), pauses in vec(1..9i64, 1..60)) {
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
                    // Sampled at the end of a pause, so it may look late but never early by more than that.
                    prop_assert!(driver.world.now - time + 8 >= interval, "{:#?}", driver.world.log);
                }
                last = Some((driver.world.now, weights.canary));
            }
        }
    }
}

/// What has not been analysed has no traffic, unless the primary cannot take it; and no action makes a share of the requests go to replicas that do not answer, if it went to some that do.
#[test]
fn requests_go_only_where_they_should() {
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
        "{weight} percent to a canary without replicas: {status:?} {:#?}",
        world.log
    );
    let overdue = primary.workload.unavailable_since.is_some_and(|since| {
        observed.now.duration_since(since).as_secs() >= canary.progress_deadline.as_secs() as i64
    });
    let fit =
        primary.workload.available > 0 && primary.workload.deadline_exceeded.is_none() && !overdue;
    assert!(
        analysed || !fit,
        "{weight} percent to what nobody analysed: {status:?} {:#?}",
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

/// However a release ends, in the end the target has traffic or no replicas, and traffic only if it was copied to a
/// primary that did not come up with it, or has no primary to give it to.
#[test]
fn nothing_is_left_of_a_release() {
    let leaves_replicas = |disturbance: &Disturbance| {
        matches!(disturbance, Disturbance::Scale(_) | Disturbance::Weight(_))
    };
    let happens =
        any_disturbance().prop_filter("someone else's replicas", move |it| !leaves_replicas(it));
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

/// Whatever status is found, of this controller, an earlier version or Flagger, no plan breaks a rule and the canary comes
/// to rest.
#[test]
fn every_status_that_is_found_leads_to_an_end() {
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
        // The run of another controller would have made another primary.
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

/// Whatever happens, a primary that is made again holds what was promoted, or is just being: template and
/// configuration.
#[test]
fn a_primary_comes_back_as_it_was() {
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

/// A rollback that a webhook asked for is carried out to its end, although the controller dies again and again and the
/// webhook does not ask any more once something of it shows: replicas that go, a webhook that is told, the phase.
#[test]
fn a_rollback_that_was_asked_for_is_not_forgotten() {
    proptest!(config(96), |(
        canary in any_canary(),
        asked_after in 0..60i64,
        lag in 0..5i64,
        crashes in vec((0..8usize, 0..25i64), 1..6),
    )| {
        let mut canary = Canary { skip_analysis: false, ..canary };
        let hooks = &mut canary.analysis.hooks;
        hooks.retain(|hook| hook.kind != HookKind::Rollback);
        for (name, kind) in [("stop", HookKind::Rollback), ("tell", HookKind::PostRollout)] {
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
        let said = |text: &str| world.log.iter().any(|line| line.contains(text));
        if said("manual webhook invoked") {
            prop_assert_eq!(world.status.phase, Phase::Failed, "{:#?}", world.log);
            prop_assert_eq!(world.target.wanted, 0, "{:#?}", world.log);
            prop_assert_eq!(world.status.cleanup, None);
            prop_assert!(said("call PostRollout"), "{:#?}", world.log);
        }
    });
}

//! Scenario files: one command per line, `#` begins a comment.
//!
//! ```text
//! canary interval=20s threshold=5 step=10 max=50 promotion-step=0 deadline=600s
//! canary steps=5,20,60                         (each setting can be changed later)
//! canary skip=true                             suspend=true|false
//! metric success-rate NAME min=99              (or duration, inline, template; min, max)
//! hook pre-rollout NAME                        (any kind of webhook in kebab case; `muted` may follow)
//! target v1 2                                  revision and replicas before the Canary exists
//! primary v1 2                                 a primary of another controller
//! exists apex-service                          an object that existed before, with another specification
//! status Succeeded v1 v1                       an existing status: phase, lastAppliedSpec, lastPromotedSpec
//! lag 5                                        seconds until a gateway accepts a change of the route
//! gateway refuses|accepts                      whether the gateway accepts the route
//! weight 30                                    someone sets the live weight
//! drift route|apex-service|…                   someone changes a generated object
//! delete route|primary|target|…                someone deletes an object
//! recreate target                              someone recreates the target, unchanged
//! deploy v2 · config v7                        a new template · new content of its ConfigMap
//! scale 2                                      someone scales the target
//! broken v2 · fix v2                           its pods do not become ready · they do
//! replace primary v9                           someone rolls the primary out to another revision
//! evict primary|target                         all its pods are removed
//! restart primary|target                       one of its pods restarts
//! starve primary|target · feed primary|target  no resources for new pods · enough resources
//! failing v2                                   its metrics are out of limits
//! refuse HOOK TEXT · pass HOOK                 the webhook refuses · passes (a rollback webhook asks for a rollback)
//! measure NAME 5 | {pod="a"}=5 {pod="b"}=1 | nodata | error TEXT
//! clock -3600                                  the controller's clock is wrong by so many seconds
//! crash 3 · crash 3 20s                        the controller dies after three more actions · and restarts after 20 s
//! advance 20s · wait PHASE                     time passes · until the phase (at most ten minutes)
//! idle                                         asserts that there is nothing to do
//! ```

use std::{collections::BTreeMap, time::Duration};

use canary_engine::{
    REVISION_PREFIX,
    canary::{Analysis, Canary, Hook, HookKind, Metric, MetricKind, Range, Target, TargetKind},
    observed::{Presence, Weights},
    phase::Phase,
    strategy::{Steps, Strategy},
};

use crate::{
    deployment::Release,
    driver::Driver,
    world::{Script, World},
};

/// Longest time for `wait`, in seconds.
const WAIT_LIMIT: i64 = 600;

/// The default canary of a script, like that of the manifests.
pub(crate) fn canary() -> Canary {
    Canary {
        name: "simple-app".to_owned(),
        namespace: "default".to_owned(),
        provider: "istio".to_owned(),
        target: Target {
            kind: TargetKind::Deployment,
            name: "simple-app".to_owned(),
        },
        suspend: false,
        skip_analysis: false,
        progress_deadline: Duration::from_secs(60),
        analysis: Analysis {
            interval: Duration::from_secs(20),
            threshold: 5,
            primary_ready_percent: 100,
            canary_ready_percent: 100,
            strategy: Strategy::Weighted(Steps::Linear { step: 10, max: 50 }),
            promotion_step: 0,
            metrics: Vec::new(),
            hooks: Vec::new(),
        },
    }
}

/// Everything that happened, one line each.
pub(crate) fn transcript(driver: &Driver) -> String {
    let mut transcript = driver.world.log.join("\n");
    transcript.push('\n');
    transcript.replace(REVISION_PREFIX, "")
}

/// Runs a script and returns the controller and its world at the end.
pub(crate) fn run(script: &str) -> Driver {
    let mut driver = Driver::new(canary(), World::new(release("v1"), 1));
    for (number, line) in script.lines().enumerate() {
        let line = line.split('#').next().unwrap().trim();
        if line.is_empty() {
            continue;
        }
        driver.world.log.push(format!("> {line}"));
        command(&mut driver, line)
            .unwrap_or_else(|| panic!("line {}: not a command: {line}", number + 1));
    }
    driver
}

fn release(name: &str) -> Release {
    Release {
        revision: digest(name),
        configs: BTreeMap::new(),
    }
}

/// The digest for a name. A leading `!` marks the digest of another controller.
fn digest(name: &str) -> String {
    name.strip_prefix('!')
        .map_or_else(|| format!("{REVISION_PREFIX}{name}"), str::to_owned)
}

fn command(driver: &mut Driver, line: &str) -> Option<()> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let now = driver.world.now;
    let world = &mut driver.world;
    match (verb, words.as_slice()) {
        ("canary", settings) => {
            return settings
                .iter()
                .try_for_each(|it| set(&mut driver.canary, it));
        }
        ("metric", [kind, name, bounds @ ..]) => {
            driver
                .canary
                .analysis
                .metrics
                .push(metric(kind, name, bounds)?);
        }
        ("hook", [kind, name, muted @ ..]) => driver.canary.analysis.hooks.push(Hook {
            name: (*name).to_owned(),
            kind: hook_kind(kind)?,
            mute_alert: muted.contains(&"muted"),
        }),
        ("target", [name, replicas]) => {
            world.target.template = release(name);
            world.target.wanted = replicas.parse().ok()?;
        }
        ("exists" | "drift", [object]) => *presence(world, object)? = Presence::Drifted,
        ("delete", ["primary"]) => world.primary = None,
        ("delete", ["target"]) => world.target_gone = true,
        ("recreate", ["target"]) => world.recreate_target(),
        ("delete", [object]) => {
            *presence(world, object)? = Presence::Missing;
            if *object == "route" {
                world.route = None;
            }
        }
        ("lag", [seconds]) => world.route_lag = seconds.parse().ok()?,
        ("gateway", ["refuses"]) => world.route_refused = true,
        ("gateway", ["accepts"]) => world.route_refused = false,
        ("status", [phase, applied, promoted]) => {
            world.status.phase = Phase::parse(phase)?;
            world.status.last_applied = Some(digest(applied));
            world.status.last_promoted = Some(digest(promoted));
        }
        ("primary", [name, replicas]) => {
            let primary = crate::deployment::Deployment::new(release(name), replicas.parse().ok()?);
            world.primary = Some((primary, None));
        }
        ("weight", [weight]) => world.route = Some(Weights::canary(weight.parse().ok()?)),
        ("deploy", [name]) => {
            let template = Release {
                revision: digest(name),
                ..world.target.template.clone()
            };
            world.target.set_template(template, now);
        }
        ("config", [content]) => {
            let key = "configmap/app".to_owned();
            world
                .target
                .template
                .configs
                .insert(key, (*content).to_owned());
        }
        ("scale", [replicas]) => world.target.scale(replicas.parse().ok()?, now),
        ("replace", ["primary", name]) => {
            let (primary, copied) = world.primary.as_mut()?;
            primary.set_template(release(name), now);
            *copied = Some(release(name));
        }
        ("evict", [side]) => world.deployment(side)?.evict(now),
        ("restart", [side]) => world.deployment(side)?.restart_pod(now),
        ("starve", [side]) => world.deployment(side)?.starved = true,
        ("feed", [side]) => world.deployment(side)?.starved = false,
        ("broken", [name]) => drop(world.broken.insert(digest(name))),
        ("fix", [name]) => drop(world.broken.remove(&digest(name)).then_some(())?),
        ("failing", [name]) => drop(world.failing.insert(digest(name))),
        ("refuse", [hook, text @ ..]) => {
            world.rollbacks.remove(*hook);
            world.refused.insert((*hook).to_owned(), text.join(" "));
        }
        ("pass", [hook]) => {
            world.refused.remove(*hook);
            world.rollbacks.insert((*hook).to_owned());
        }
        ("measure", [name, what @ ..]) => {
            world.metrics.insert((*name).to_owned(), measurement(what)?);
        }
        ("clock", [seconds]) => world.clock_error = seconds.parse().ok()?,
        ("crash", [actions]) => driver.crash_after = Some(actions.parse().ok()?),
        ("crash", [actions, pause]) => {
            let pause = pause.strip_suffix('s')?.parse().ok()?;
            driver.crashes = vec![(actions.parse().ok()?, pause)];
        }
        ("advance", [time]) => driver.advance(time.strip_suffix('s')?.parse().ok()?),
        ("wait", [phase]) => {
            let phase = Phase::parse(phase)?;
            let reached = driver.advance_until(WAIT_LIMIT, |world| world.status.phase == phase);
            assert!(
                reached.is_some(),
                "{phase} was not reached:\n{}",
                driver.world.log.join("\n")
            );
        }
        ("idle", []) => {
            let observed = driver.observe();
            let (_, plan) = driver.decide(&observed);
            assert!(
                plan.actions.is_empty() && plan.requeue.is_none(),
                "not idle: {plan:#?}"
            );
        }
        _ => return None,
    }
    Some(())
}

fn set(canary: &mut Canary, setting: &str) -> Option<()> {
    let (key, value) = setting.split_once('=')?;
    let analysis = &mut canary.analysis;
    let time = || {
        value
            .strip_suffix('s')
            .and_then(|value| value.parse().ok())
            .map(Duration::from_secs)
    };
    match key {
        "interval" => analysis.interval = time()?,
        "deadline" => canary.progress_deadline = time()?,
        "threshold" => analysis.threshold = value.parse().ok()?,
        "step" => {
            analysis.strategy = Strategy::Weighted(Steps::Linear {
                step: value.parse().ok()?,
                max: 100,
            });
        }
        "max" => match &mut analysis.strategy {
            Strategy::Weighted(Steps::Linear { max, .. }) => *max = value.parse().ok()?,
            Strategy::Weighted(Steps::List(_)) => return None,
        },
        "steps" => {
            let steps: Option<_> = value.split(',').map(|step| step.parse().ok()).collect();
            analysis.strategy = Strategy::Weighted(Steps::List(steps?));
        }
        "promotion-step" => analysis.promotion_step = value.parse().ok()?,
        "skip" => canary.skip_analysis = value.parse().ok()?,
        "suspend" => canary.suspend = value.parse().ok()?,
        _ => return None,
    }
    Some(())
}

fn metric(kind: &str, name: &str, bounds: &[&str]) -> Option<Metric> {
    let kind = match kind {
        "success-rate" => MetricKind::SuccessRate,
        "duration" => MetricKind::Duration,
        "inline" => MetricKind::Inline,
        "template" => MetricKind::Template,
        _ => return None,
    };
    let bound = |key: &str| {
        let found = bounds.iter().find_map(|bound| bound.strip_prefix(key));
        found.map(|value| value.parse::<f64>().unwrap())
    };
    let range = Range {
        min: bound("min="),
        max: bound("max="),
    };
    Some(Metric {
        name: name.to_owned(),
        kind,
        range,
    })
}

fn hook_kind(text: &str) -> Option<HookKind> {
    Some(match text {
        "confirm-rollout" => HookKind::ConfirmRollout,
        "pre-rollout" => HookKind::PreRollout,
        "rollout" => HookKind::Rollout,
        "confirm-traffic-increase" => HookKind::ConfirmTrafficIncrease,
        "confirm-promotion" => HookKind::ConfirmPromotion,
        "post-rollout" => HookKind::PostRollout,
        "rollback" => HookKind::Rollback,
        _ => return None,
    })
}

fn presence<'a>(world: &'a mut World, object: &str) -> Option<&'a mut Presence> {
    let objects = &mut world.objects;
    Some(match object {
        "canary-service" => &mut objects.canary_service,
        "primary-service" => &mut objects.primary_service,
        "apex-service" => &mut objects.apex_service,
        "route" => {
            world.route.get_or_insert(Weights::canary(0));
            &mut objects.route
        }
        _ => return None,
    })
}

fn measurement(words: &[&str]) -> Option<Script> {
    match words {
        ["nodata"] => Some(Script::NoData),
        ["error", text @ ..] => Some(Script::Error(text.join(" "))),
        series => {
            let values: Option<Vec<_>> = series
                .iter()
                .map(|series| {
                    let (labels, value) = series.rsplit_once('=').unwrap_or(("", series));
                    Some((labels.to_owned(), value.parse().ok()?))
                })
                .collect();
            values.map(Script::Values)
        }
    }
}

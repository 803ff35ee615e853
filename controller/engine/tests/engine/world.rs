//! A model of the cluster around the controller. Time is in whole seconds since its start.

use std::collections::{BTreeMap, BTreeSet};

use canary_engine::{
    action::Action,
    canary::{Canary, HookKind},
    observed::{Objects, Observed, Presence, PrimaryState, TargetState, Weights, Workload},
    phase::Phase,
    question::{Answer, HookAnswer, MetricAnswer, Question, Sample},
    status::{CHECKS_KEPT, Cleanup, Status},
};

use crate::deployment::{Deployment, Release, instant};

fn shows_a_rollback(action: &Action) -> bool {
    match action {
        Action::ScaleDownTarget | Action::CallHook { .. } => true,
        Action::WriteStatus(status) => status.phase == Phase::Failed,
        _ => false,
    }
}

/// The answer of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Script {
    Values(Vec<(String, f64)>),
    NoData,
    Error(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) now: i64,
    /// Added to the clock that the controller sees.
    pub(crate) clock_error: i64,
    pub(crate) startup: i64,
    pub(crate) status: Status,
    pub(crate) target: Deployment,
    /// The target was deleted.
    pub(crate) target_gone: bool,
    pub(crate) primary: Option<(Deployment, Option<Release>)>,
    pub(crate) objects: Objects,
    pub(crate) route: Option<Weights>,
    /// Seconds until a gateway accepts a change of the route.
    pub(crate) route_lag: i64,
    /// The gateway refuses the route.
    pub(crate) route_refused: bool,
    route_changed: i64,
    /// Whether the route, or the earlier one that the gateway still follows, leads to the canary.
    pub(crate) leads_to_canary: bool,
    /// Revisions whose pods never become ready.
    pub(crate) broken: BTreeSet<String>,
    /// Names of webhooks that refuse, with their text.
    pub(crate) refused: BTreeMap<String, String>,
    /// Names of rollback webhooks that ask for a rollback.
    pub(crate) rollbacks: BTreeSet<String>,
    /// Whether they ask only until an effect of the rollback is visible.
    pub(crate) asks_until_seen: bool,
    pub(crate) metrics: BTreeMap<String, Script>,
    /// Revisions for which every metric fails.
    pub(crate) failing: BTreeSet<String>,
    /// Whether a post-rollout webhook was called for the failure in the status.
    notified: bool,
    /// All changes of phase so far.
    pub(crate) changes: BTreeSet<(Phase, Phase)>,
    /// Everything that the primary held after initialization and after each release.
    pub(crate) promoted: Vec<Release>,
    /// Keys of published events.
    published: BTreeSet<String>,
    /// Everything that happened, one line each.
    pub(crate) log: Vec<String>,
}

impl World {
    pub(crate) fn new(release: Release, replicas: u32) -> World {
        let missing = Presence::Missing;
        World {
            now: 0,
            clock_error: 0,
            startup: 3,
            status: Status::default(),
            target: Deployment::new(release, replicas),
            target_gone: false,
            primary: None,
            objects: Objects {
                canary_service: missing,
                primary_service: missing,
                apex_service: missing,
                route: missing,
            },
            route: None,
            route_lag: 0,
            route_refused: false,
            route_changed: 0,
            leads_to_canary: false,
            broken: BTreeSet::new(),
            refused: BTreeMap::new(),
            rollbacks: BTreeSet::new(),
            asks_until_seen: false,
            metrics: BTreeMap::new(),
            failing: BTreeSet::new(),
            notified: false,
            changes: BTreeSet::new(),
            promoted: Vec::new(),
            published: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    /// Lets one second pass.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        self.target.step(self.now, &self.broken, self.startup);
        if let Some((primary, _)) = &mut self.primary {
            primary.step(self.now, &self.broken, self.startup);
        }
    }

    pub(crate) fn observe(&self, canary: &Canary) -> Observed {
        let deadline = canary.progress_deadline.as_secs() as i64;
        Observed {
            now: instant(self.now + self.clock_error),
            status: self.status.clone(),
            target: TargetState {
                gone: self.target_gone,
                workload: if self.target_gone {
                    Workload::default()
                } else {
                    self.target.observe(self.now, deadline)
                },
                revision: self.target.template.revision.clone(),
                configs: self.target.template.configs.clone(),
            },
            primary: self.primary.as_ref().map(|(primary, copied)| PrimaryState {
                workload: primary.observe(self.now, deadline),
                copied_revision: copied.as_ref().map(|copied| copied.revision.clone()),
                copied_configs: copied
                    .as_ref()
                    .map(|copied| copied.configs.clone())
                    .unwrap_or_default(),
            }),
            objects: self.objects.clone(),
            route: self.route,
            route_pending: self.route_pending(),
            route_pending_since: None,
        }
    }

    pub(crate) fn route_pending(&self) -> Option<String> {
        let missing = self.route.is_none() && self.route_lag > 0;
        let id = "HTTPRoute simple-app.default";
        if missing {
            Some(format!("{id} is not ready: it has just been created"))
        } else if self.route_refused {
            Some(format!(
                "{id} parent public is not ready (status: False, observed generation: 2, current generation: 2): \
                 NotAllowedByListeners: its hosts are others"
            ))
        } else if self.now < self.route_changed + self.route_lag {
            Some(format!(
                "{id} parent public is not ready (status: True, observed generation: 1, current generation: 2)"
            ))
        } else {
            None
        }
    }

    pub(crate) fn answer(&self, canary: &Canary, question: &Question) -> Answer {
        match question {
            Question::Hook { index, kind, .. } => {
                let name = &canary.analysis.hooks[*index].name;
                let refused = match kind {
                    HookKind::Rollback if self.rollbacks.contains(name) => None,
                    HookKind::Rollback => Some("Forbidden".to_owned()),
                    _ => self.refused.get(name).cloned(),
                };
                Answer::Hook(refused.map_or(HookAnswer::Passed, HookAnswer::Refused))
            }
            Question::Metric { index } => {
                let metric = &canary.analysis.metrics[*index];
                // Out of limits also for a metric that is compared in whole units.
                let below = metric.range.min.unwrap_or(0.0) - 2.0;
                let out = metric.range.max.map_or(below, |max| max + 2.0);
                let good = metric.range.max.or(metric.range.min).unwrap_or(0.0);
                let single = |value| Script::Values(vec![(String::new(), value)]);
                let script = if self.failing.contains(&self.target.template.revision) {
                    single(out)
                } else {
                    self.metrics
                        .get(&metric.name)
                        .cloned()
                        .unwrap_or_else(|| single(good))
                };
                Answer::Metric(match script {
                    Script::Values(values) => MetricAnswer::Values(
                        values
                            .into_iter()
                            .map(|(labels, value)| Sample { labels, value })
                            .collect(),
                    ),
                    Script::NoData => MetricAnswer::NoData("no values found".to_owned()),
                    Script::Error(text) => MetricAnswer::Error(text),
                })
            }
        }
    }

    pub(crate) fn deployment(&mut self, side: &str) -> Option<&mut Deployment> {
        match side {
            "target" => Some(&mut self.target),
            "primary" => self.primary.as_mut().map(|(primary, _)| primary),
            _ => None,
        }
    }

    /// Recreates a deleted target, unchanged.
    pub(crate) fn recreate_target(&mut self) {
        if self.target_gone {
            self.target_gone = false;
            self.target = Deployment::new(self.target.template.clone(), self.target.wanted);
            self.target.change(self.now);
        }
    }

    fn set_route(&mut self, weights: Weights) {
        let followed = self.route_pending().is_none();
        let led = if followed {
            self.route.is_some_and(|weights| weights.canary > 0)
        } else {
            self.leads_to_canary
        };
        self.leads_to_canary = led || weights.canary > 0;
        self.route = Some(weights);
        self.route_changed = self.now;
    }

    /// Applies one action, as the executor would. An error ends the tick.
    pub(crate) fn apply(&mut self, canary: &Canary, action: &Action) -> Result<(), String> {
        let now = self.now;
        if self.asks_until_seen && shows_a_rollback(action) {
            self.rollbacks.clear();
        }
        match action {
            Action::EnsureCanaryService => self.objects.canary_service = Presence::Current,
            Action::EnsurePrimaryService => self.objects.primary_service = Presence::Current,
            Action::EnsureApexService => self.objects.apex_service = Presence::Current,
            Action::EnsureRoute(weights) => {
                self.objects.route = Presence::Current;
                self.set_route(*weights);
            }
            Action::CreatePrimary { revision, configs } => {
                let release = self.pinned(revision, configs)?;
                let mut primary = Deployment::new(release.clone(), self.target.wanted.max(1));
                primary.change(now);
                self.primary = Some((primary, Some(release)));
            }
            Action::Promote { revision, configs } => {
                let release = self.pinned(revision, configs)?;
                let (primary, copied) = self.primary.as_mut().ok_or("no primary")?;
                primary.set_template(release.clone(), now);
                *copied = Some(release);
            }
            Action::ScaleUpTarget { .. } | Action::ScaleDownTarget if self.target_gone => {
                return Err("not found".to_owned());
            }
            Action::ScaleUpTarget { replicas } => self.target.scale(*replicas, now),
            Action::ScaleDownTarget => self.target.scale(0, now),
            Action::SetWeights(weights) => self.set_route(*weights),
            Action::Publish(event) => {
                if !self.published.insert(event.key.clone()) {
                    return Ok(());
                }
            }
            Action::CallHook { index, .. } => {
                let name = &canary.analysis.hooks[*index].name;
                let answer = self
                    .refused
                    .get(name)
                    .map_or(HookAnswer::Passed, |why| HookAnswer::Refused(why.clone()));
                let event = canary_engine::action::post_rollout_event(
                    canary,
                    &self.status,
                    *index,
                    &answer,
                );
                self.notified = true;
                self.note(action);
                return self.apply(canary, &Action::Publish(event));
            }
            Action::WriteStatus(status) => {
                assert!(
                    status.checks.len() <= CHECKS_KEPT,
                    "{} checks",
                    status.checks.len()
                );
                if self.status.cleanup == Some(Cleanup::PostRollout)
                    && status.cleanup != Some(Cleanup::PostRollout)
                {
                    let hooks = &canary.analysis.hooks;
                    let waits = hooks.iter().any(|hook| hook.kind == HookKind::PostRollout);
                    assert!(
                        self.notified || !waits,
                        "the post-rollout webhooks were not called: {:#?}",
                        self.log
                    );
                    self.notified = false;
                }
                let change = (self.status.phase, status.phase);
                if change.0 != change.1 {
                    self.changes.insert(change);
                }
                if let (Phase::Initialized | Phase::Succeeded, Some((primary, _))) =
                    (status.phase, &self.primary)
                {
                    self.promoted.push(primary.template.clone());
                }
                self.status = (**status).clone();
            }
            Action::Alert(_) | Action::Count(_) => {}
        }
        self.note(action);
        Ok(())
    }

    fn pinned(
        &self,
        revision: &str,
        configs: &BTreeMap<String, String>,
    ) -> Result<Release, String> {
        let template = &self.target.template;
        if self.target_gone {
            return Err("the target was deleted".to_owned());
        }
        if template.revision == revision && template.configs == *configs {
            Ok(template.clone())
        } else {
            Err(format!("the target has changed to {}", template.revision))
        }
    }

    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        let line = format!("{:02}:{:02}  {what}", self.now / 60, self.now % 60);
        self.log.push(line);
    }

    /// Returns whether no release, initialization or cleanup is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        let ended = matches!(
            self.status.phase,
            Phase::Initialized | Phase::Succeeded | Phase::Failed
        );
        // A failed canary keeps the traffic that the primary cannot take, perhaps forever.
        let kept = self.route.is_some_and(|weights| weights.canary > 0);
        let over = match self.status.cleanup {
            None => true,
            Some(Cleanup::PostRollout) => false,
            Some(Cleanup::ScaleDown) => kept,
        };
        ended && over
    }
}

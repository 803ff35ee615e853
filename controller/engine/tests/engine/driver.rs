//! A minimal controller around the engine. It plans when something changed or when the engine asked to be called, and
//! it can die after any action.

use canary_engine::{
    action::{Action, Plan},
    canary::Canary,
    observed::Observed,
    plan,
    question::Answers,
    questions, ready,
};
use jiff::Timestamp;

use crate::{rules::check, world::World};

/// More plans than any second needs.
const PLANS_PER_SECOND: usize = 25;

#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) canary: Canary,
    pub(crate) world: World,
    /// Number of actions after which it dies.
    pub(crate) crash_after: Option<usize>,
    /// Further crashes, the last first: number of actions, and seconds until the restart.
    pub(crate) crashes: Vec<(usize, i64)>,
    away_until: i64,
    /// Called with the world whenever the controller has nothing left to do.
    pub(crate) inspect: Option<fn(&Canary, &World)>,
    /// Called with every action and the world before and after it.
    pub(crate) watch: Option<fn(&World, &Action, &World)>,
    seen: Option<(Canary, Observed)>,
    wake: Option<i64>,
    since: Since,
}

/// Since when something has not been ready, as far as this process has seen.
#[derive(Debug, Default)]
struct Since {
    target: Option<Timestamp>,
    primary: Option<Timestamp>,
    route: Option<Timestamp>,
}

impl Driver {
    pub(crate) fn new(canary: Canary, world: World) -> Driver {
        Driver {
            canary,
            world,
            crash_after: None,
            crashes: Vec::new(),
            away_until: 0,
            inspect: None,
            watch: None,
            seen: None,
            wake: None,
            since: Since::default(),
        }
    }

    /// A snapshot of the world, with the times that only a process knows.
    pub(crate) fn observe(&mut self) -> Observed {
        let mut observed = self.world.observe(&self.canary);
        let ready = ready(&self.canary, &observed);
        let now = observed.now;
        let note = |since: &mut Option<Timestamp>, is_ready: bool| {
            *since = if is_ready { None } else { since.or(Some(now)) };
            *since
        };
        observed.target.workload.unready_since = note(&mut self.since.target, ready.target);
        let is_ready = ready.primary || observed.primary.is_none();
        let unready_since = note(&mut self.since.primary, is_ready);
        if let Some(primary) = &mut observed.primary {
            primary.workload.unready_since = unready_since;
        }
        let is_ready = observed.route.is_none() || observed.route_pending.is_none();
        observed.route_pending_since = note(&mut self.since.route, is_ready);
        observed
    }

    /// Answers all questions, plans, and checks the plan.
    pub(crate) fn decide(&self, observed: &Observed) -> (Answers, Plan) {
        let mut answers = Answers::default();
        let limit = self.canary.analysis.hooks.len() + self.canary.analysis.metrics.len();
        for round in 0.. {
            let batch = questions(&self.canary, observed, &answers);
            if batch.is_empty() {
                break;
            }
            assert!(round <= limit, "the questions do not end: {batch:?}");
            for question in batch {
                let asked = answers.given.iter().any(|(known, _)| *known == question);
                assert!(!asked, "asked twice: {question:?}");
                let answer = self.world.answer(&self.canary, &question);
                answers.given.push((question, answer));
            }
        }
        let plan = plan(&self.canary, observed, &answers);
        let violations = check(&self.canary, observed, &answers, &plan);
        assert!(
            violations.is_empty(),
            "violations: {violations:#?}\nplan: {plan:#?}\nobserved: {observed:#?}\nlog: {:#?}",
            self.world.log
        );
        (answers, plan)
    }

    /// Plans if there is a reason to, until nothing is left to do in this second.
    pub(crate) fn tick(&mut self) {
        for plans in 0.. {
            if self.world.now < self.away_until {
                return;
            }
            assert!(
                plans < PLANS_PER_SECOND,
                "no end of planning: {:#?}",
                self.world.log
            );
            let observed = self.observe();
            let due = self.wake.is_some_and(|wake| wake <= self.world.now);
            if !due
                && self
                    .seen
                    .as_ref()
                    .is_some_and(|seen| unchanged(seen, &self.canary, &observed))
            {
                return;
            }
            let (_, plan) = self.decide(&observed);
            self.seen = Some((self.canary.clone(), observed));
            self.wake = plan.requeue.map(|pause| self.world.now + seconds(pause));
            self.execute(&plan);
            let again = plan.requeue.is_some_and(|pause| pause.is_zero());
            if plan.actions.is_empty() && !again {
                if let Some(inspect) = self.inspect {
                    inspect(&self.canary, &self.world);
                }
                return;
            }
        }
    }

    fn execute(&mut self, plan: &Plan) {
        for action in &plan.actions {
            if self.crash_after.is_none() {
                self.crash_after = self.crashes.last().map(|(actions, _)| *actions);
            }
            if let Some(left) = &mut self.crash_after {
                if *left == 0 {
                    self.crash_after = None;
                    let (_, pause) = self.crashes.pop().unwrap_or_default();
                    self.away_until = self.world.now + pause;
                    self.world.note(format_args!(
                        "the controller dies and restarts after {pause} s"
                    ));
                    self.restart();
                    return;
                }
                *left -= 1;
            }
            let before = self.watch.map(|_| self.world.clone());
            if let Err(why) = self.world.apply(&self.canary, action) {
                self.world.note(format_args!("failed: {action}: {why}"));
                return;
            }
            if let (Some(watch), Some(before)) = (self.watch, before) {
                watch(&before, action, &self.world);
            }
        }
    }

    /// Forgets everything, as a controller that has just started.
    pub(crate) fn restart(&mut self) {
        self.seen = None;
        self.wake = None;
        self.since = Since::default();
    }

    /// Lets time pass; the controller plans whenever it has a reason.
    pub(crate) fn advance(&mut self, seconds: i64) {
        self.tick();
        for _ in 0..seconds {
            self.world.step();
            self.tick();
        }
    }

    /// Lets time pass until `done`. Returns the time it took, or `None` if `limit` seconds were not enough.
    pub(crate) fn advance_until(
        &mut self,
        limit: i64,
        done: impl Fn(&World) -> bool,
    ) -> Option<i64> {
        self.tick();
        for passed in 0..=limit {
            if done(&self.world) {
                return Some(passed);
            }
            self.world.step();
            self.tick();
        }
        None
    }
}

/// Returns whether two snapshots differ only in the time.
fn unchanged(seen: &(Canary, Observed), canary: &Canary, now: &Observed) -> bool {
    let (seen_canary, seen) = seen;
    seen_canary == canary
        && Observed {
            now: now.now,
            ..seen.clone()
        } == *now
}

/// Whole seconds, rounded up: an earlier tick would have nothing to do.
fn seconds(pause: std::time::Duration) -> i64 {
    pause.as_secs() as i64 + i64::from(pause.subsec_nanos() > 0)
}

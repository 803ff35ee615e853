use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn deployment(replicas: i32, strategy: &Value, image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "app", "namespace": "default", "uid": "dep", "generation": 1, "annotations": {"team": "x"}},
        "spec": {
            "replicas": replicas, "strategy": strategy, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {"app": "a"}}, "template": template(image),
        },
    }))
    .unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

/// A simulated cluster with one Deployment. It applies plans and simulates the ReplicaSet controller.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: Timestamp,
    events: Vec<String>,
    /// Images whose pods never become ready.
    broken: Vec<String>,
}

impl World {
    fn new(deployment: Deployment) -> Self {
        Self {
            deployment,
            sets: Vec::new(),
            now: start(),
            events: Vec::new(),
            broken: Vec::new(),
        }
    }

    fn plan(&self) -> Plan {
        let new = template::find_new(&self.deployment, &self.sets).map(ResourceExt::name_any);
        let old_pods_running = self
            .sets
            .iter()
            .any(|set| Some(set.name_any()) != new && fields::actual(set) > 0);
        plan::plan(View {
            deployment: &self.deployment,
            sets: &self.sets,
            old_pods_running,
            create_error: None,
            now: self.now,
        })
    }

    /// Runs one reconciliation. Returns whether it wrote anything.
    fn round(&mut self) -> bool {
        let plan = self.plan();
        let changed = plan
            != Plan {
                requeue_after: plan.requeue_after,
                ..Plan::default()
            };
        for write in plan.writes {
            match write {
                Write::Create(mut set) => {
                    assert!(
                        !self
                            .sets
                            .iter()
                            .any(|other| other.name_any() == set.name_any()),
                        "created twice"
                    );
                    set.metadata.uid = set.metadata.name.clone();
                    set.metadata.generation = Some(1);
                    set.metadata.creation_timestamp = Some(Time(self.now));
                    self.sets.push(*set);
                }
                Write::Update(set) => {
                    let stored = self
                        .sets
                        .iter_mut()
                        .find(|other| other.name_any() == set.name_any())
                        .unwrap();
                    let generation =
                        stored.metadata.generation.unwrap() + i64::from(stored.spec != set.spec);
                    *stored = *set;
                    stored.metadata.generation = Some(generation);
                }
                Write::Delete { name, .. } => self.sets.retain(|set| set.name_any() != name),
                Write::Revision(number) => {
                    self.deployment
                        .annotations_mut()
                        .insert(fields::REVISION.into(), number);
                }
            }
        }
        self.events
            .extend(plan.events.into_iter().map(|event| event.message));
        if let Some(status) = plan.status {
            self.deployment.status = Some(status);
        }
        self.now += SignedDuration::from_millis(10);
        changed
    }

    fn is_broken(&self, set: &ReplicaSet) -> bool {
        let image = set
            .spec
            .as_ref()
            .unwrap()
            .template
            .as_ref()
            .unwrap()
            .spec
            .as_ref()
            .unwrap()
            .containers[0]
            .image
            .clone();
        self.broken.contains(&image.unwrap())
    }

    /// Moves the ReplicaSet at `index` one step towards its size. `false` if there is nothing to do.
    fn follow(&mut self, index: usize) -> bool {
        let works = !self.is_broken(&self.sets[index]);
        let set = &mut self.sets[index];
        let wanted = fields::replicas(set);
        let mut status = set.status.clone().unwrap_or_default();
        let available = status.available_replicas.unwrap_or(0);
        if status.replicas != wanted || status.observed_generation != set.metadata.generation {
            status.replicas = wanted;
            status.observed_generation = set.metadata.generation;
            status.available_replicas = Some(available.min(wanted));
        } else if works && available < wanted {
            status.available_replicas = Some(available + 1);
        } else {
            return false;
        }
        status.ready_replicas = status.available_replicas;
        set.status = Some(status);
        true
    }

    /// Reconciles until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..500 {
            let mut changed = self.round();
            for index in 0..self.sets.len() {
                changed |= self.follow(index);
            }
            if !changed {
                return;
            }
        }
        panic!("the cluster does not settle");
    }

    fn edit(&mut self, change: impl FnOnce(&mut k8s_openapi::api::apps::v1::DeploymentSpec)) {
        change(self.deployment.spec.as_mut().unwrap());
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn set_image(&mut self, image: &str) {
        self.edit(|spec| spec.template = serde_json::from_value(template(image)).unwrap());
    }

    fn sizes(&self) -> Vec<(String, i32)> {
        let image = |set: &ReplicaSet| {
            set.spec
                .clone()
                .unwrap()
                .template
                .unwrap()
                .spec
                .unwrap()
                .containers[0]
                .image
                .clone()
                .unwrap()
        };
        self.sets
            .iter()
            .map(|set| (image(set), fields::replicas(set)))
            .collect()
    }

    fn condition(&self, type_: &str) -> (String, String) {
        let conditions = self
            .deployment
            .status
            .as_ref()
            .unwrap()
            .conditions
            .clone()
            .unwrap();
        let found = conditions
            .into_iter()
            .find(|condition| condition.type_ == type_)
            .unwrap();
        (found.status, found.reason.unwrap())
    }
}

#[test]
fn a_new_deployment_creates_its_first_replica_set() {
    let mut world = World::new(deployment(2, &Value::Null, "app:1"));
    world.settle();
    assert_eq!(world.sizes(), [("app:1".to_owned(), 2)]);
    insta::assert_json_snapshot!(json!({
        "deployment": world.deployment, "set": world.sets[0], "events": world.events,
    }));
}

#[test]
fn a_rollout_replaces_the_pods_and_keeps_the_old_set_as_history() {
    let mut world = World::new(deployment(3, &rolling(json!(1), json!(0)), "app:1"));
    world.settle();
    world.set_image("app:2");
    world.settle();
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 0), ("app:2".to_owned(), 3)]
    );
    assert_eq!(world.deployment.annotations()[fields::REVISION], "2");
    assert_eq!(
        world.condition("Progressing"),
        ("True".into(), "NewReplicaSetAvailable".into())
    );
}

#[test]
fn a_rollback_reuses_the_old_set_under_a_new_revision() {
    let mut world = World::new(deployment(1, &Value::Null, "app:1"));
    world.settle();
    world.set_image("app:2");
    world.settle();
    world.set_image("app:1");
    world.settle();
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 1), ("app:2".to_owned(), 0)]
    );
    assert_eq!(world.deployment.annotations()[fields::REVISION], "3");
    assert_eq!(world.sets[0].annotations()[fields::REVISION_HISTORY], "1");
}

#[test]
fn the_history_is_limited() {
    let mut world = World::new(deployment(1, &Value::Null, "app:1"));
    for version in 2..=6 {
        world.settle();
        world.set_image(&format!("app:{version}"));
    }
    world.settle();
    let images: Vec<String> = world.sizes().into_iter().map(|(image, _)| image).collect();
    assert_eq!(
        images,
        ["app:4", "app:5", "app:6"],
        "the current set and two of the history"
    );
}

#[test]
fn recreate_waits_until_the_old_pods_are_removed() {
    let mut world = World::new(deployment(2, &json!({"type": "Recreate"}), "app:1"));
    world.settle();
    world.set_image("app:2");
    while world.round() {}
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 0)],
        "two old pods are still running"
    );
    world.follow(0);
    world.settle();
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 0), ("app:2".to_owned(), 2)]
    );
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll_out() {
    let mut world = World::new(deployment(2, &Value::Null, "app:1"));
    world.settle();
    world.edit(|spec| spec.paused = Some(true));
    world.set_image("app:2");
    world.edit(|spec| spec.replicas = Some(4));
    world.settle();
    assert_eq!(world.sizes(), [("app:1".to_owned(), 4)]);
    assert_eq!(
        world.condition("Progressing"),
        ("Unknown".into(), "DeploymentPaused".into())
    );
    world.edit(|spec| spec.paused = Some(false));
    world.settle();
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 0), ("app:2".to_owned(), 4)]
    );
}

#[test]
fn scaling_during_a_rollout_is_proportional() {
    let mut world = World::new(deployment(10, &rolling(json!(3), json!(2)), "app:1"));
    world.settle();
    world.broken.push("app:2".into());
    world.set_image("app:2");
    world.settle();
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 8), ("app:2".to_owned(), 5)]
    );
    // The example from the documentation of Kubernetes ("Proportional scaling"): 15 desired, 18 allowed.
    world.edit(|spec| spec.replicas = Some(15));
    assert!(world.round());
    assert_eq!(
        world.sizes(),
        [("app:1".to_owned(), 11), ("app:2".to_owned(), 7)]
    );
}

#[test]
fn a_rollout_without_progress_times_out_and_can_be_fixed() {
    let mut world = World::new(deployment(2, &Value::Null, "app:1"));
    world.settle();
    world.broken.push("app:2".into());
    world.set_image("app:2");
    world.settle();
    let wait = world
        .plan()
        .requeue_after
        .expect("the deadline schedules a reconciliation");
    assert!(
        wait <= SignedDuration::from_secs(600) && wait > SignedDuration::from_secs(590),
        "{wait}"
    );
    world.now += wait;
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        ("False".into(), "ProgressDeadlineExceeded".into())
    );
    assert_eq!(world.plan().requeue_after, None);
    world.set_image("app:3");
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        ("True".into(), "NewReplicaSetAvailable".into())
    );
}

#[test]
fn a_rollback_long_after_the_last_rollout_does_not_time_out_immediately() {
    let mut world = World::new(deployment(2, &Value::Null, "app:1"));
    world.settle();
    world.set_image("app:2");
    world.settle();
    world.now += SignedDuration::from_secs(3600);
    world.set_image("app:1");
    assert!(world.round());
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
    world.broken.push("app:1".into());
    world.settle();
    assert_eq!(world.condition("Progressing").1, "ReplicaSetUpdated");
    // From now on the usual deadline applies.
    world.now += world.plan().requeue_after.expect("a deadline");
    world.settle();
    assert_eq!(world.condition("Progressing").1, "ProgressDeadlineExceeded");
}

#[test]
fn a_deployment_scales_to_zero_and_back() {
    let mut world = World::new(deployment(2, &Value::Null, "app:1"));
    world.settle();
    for size in [0, 3] {
        world.edit(|spec| spec.replicas = Some(size));
        world.settle();
        assert_eq!(world.sizes(), [("app:1".to_owned(), size)]);
        assert_eq!(world.condition("Available").0, "True");
    }
    assert_eq!(
        world.events.last().unwrap(),
        &format!(
            "Scaled up replica set {} from 0 to 3",
            world.sets[0].name_any()
        )
    );
}

#[test]
fn a_deployment_that_is_being_deleted_is_skipped() {
    let mut deployment = deployment(2, &Value::Null, "app:1");
    deployment.metadata.deletion_timestamp = Some(Time(start()));
    let mut world = World::new(deployment);
    world.settle();
    assert!(world.sets.is_empty());
}

#[test]
fn a_hash_collision_changes_the_name() {
    let plain = serde_json::from_value(template("app:1")).unwrap();
    assert_ne!(template::hash(&plain, 0), template::hash(&plain, 1));
    assert_eq!(template::hash(&plain, 0), template::hash(&plain.clone(), 0));
}

fn amount() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..4_i32).prop_map(|n| json!(n)),
        (0..=100_i32).prop_map(|n| json!(format!("{n}%")))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// For any order of events and any changes during a rollout, it never goes below the minimum
    /// availability or above the maximum number of pods, and it completes.
    #[test]
    fn a_rolling_update_keeps_its_bounds_and_completes(
        replicas in 1..8_i32, surge in amount(), unavailable in amount(),
        steps in proptest::collection::vec(0..4_usize, 0..60), second in proptest::option::of(5..40_usize),
    ) {
        let mut world = World::new(deployment(replicas, &rolling(surge, unavailable), "app:1"));
        world.settle();
        let bounds = fields::bounds(&world.deployment);
        world.set_image("app:2");
        let check = |world: &World| {
            let available: i32 = world.sets.iter().map(fields::available).sum();
            let size: i32 = world.sets.iter().map(fields::replicas).sum();
            prop_assert!(available >= bounds.least_available(), "{available} available, {bounds:?}");
            prop_assert!(size <= bounds.most(), "{size} pods, {bounds:?}");
            Ok(())
        };
        for (number, step) in steps.into_iter().enumerate() {
            if second == Some(number) {
                world.set_image("app:3");
            }
            if step == 0 || world.sets.len() < step {
                world.round();
            } else {
                world.follow(step - 1);
            }
            check(&world)?;
        }
        let last = if second.is_some() { "app:3" } else { "app:2" };
        world.set_image(last);
        for _ in 0..200 {
            let mut changed = world.round();
            check(&world)?;
            for index in 0..world.sets.len() {
                changed |= world.follow(index);
                check(&world)?;
            }
            if !changed { break; }
        }
        let sizes = world.sizes();
        prop_assert!(sizes.iter().all(|(image, size)| *size == if image == last { replicas } else { 0 }), "{sizes:?}");
        prop_assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
        let idle = world.plan();
        prop_assert_eq!(idle, Plan::default());
    }

    /// Scaling an incomplete rollout distributes exactly the allowed number of pods.
    #[test]
    fn proportional_scaling_distributes_exactly_the_allowed_number(before in 1..20_i32, after in 1..20_i32) {
        let mut world = World::new(deployment(before, &rolling(json!("25%"), json!("25%")), "app:1"));
        world.settle();
        world.broken.push("app:2".into());
        world.set_image("app:2");
        world.settle();
        let several = world.sizes().iter().filter(|(_, size)| *size > 0).count() > 1;
        world.edit(|spec| spec.replicas = Some(after));
        world.round();
        let sum: i32 = world.sizes().iter().map(|(_, size)| size).sum();
        if several && before != after {
            prop_assert_eq!(sum, fields::bounds(&world.deployment).most());
        }
    }
}

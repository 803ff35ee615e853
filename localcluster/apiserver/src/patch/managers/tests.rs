//! What several writers do to one object.

use proptest::prelude::*;

use super::*;
use crate::schema::builtin;

fn schema() -> &'static Schema {
    builtin::schema("apps", "v1", "Deployment")
}

fn manager(name: &str, applies: bool) -> Manager {
    Manager {
        name: name.to_owned(),
        applies,
        api_version: "apps/v1".to_owned(),
        subresource: String::new(),
    }
}

fn config(containers: Value, replicas: Value) -> Value {
    let mut config = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    if !replicas.is_null() {
        config["spec"]["replicas"] = replicas;
    }
    config
}

fn write(writer: &Manager) -> Write<'_> {
    Write {
        schema: schema(),
        has_status: true,
        writer,
        now: "now",
    }
}

/// A world with one object, and writers that apply or update it.
struct World {
    live: Value,
    managers: Managers,
}

impl World {
    fn new() -> Self {
        Self {
            live: json!({}),
            managers: Managers::default(),
        }
    }

    fn apply(&mut self, name: &str, config: &Value, force: bool) -> Result<(), Vec<String>> {
        let mut managers = self.managers.clone();
        let writer = manager(name, true);
        let applied = managers.apply(&self.live, config, &write(&writer), force);
        match applied {
            Ok(merged) => {
                self.live = merged;
                self.managers = managers;
                Ok(())
            }
            Err(ApplyError::Conflicts(conflicts)) => Err(conflicts
                .into_iter()
                .map(|c| format!("{}: {}", c.manager, c.field))
                .collect()),
            Err(ApplyError::Patch(error)) => Err(vec![error.to_string()]),
        }
    }

    fn update(&mut self, name: &str, new: Value) {
        let writer = manager(name, false);
        self.managers
            .record_update(&self.live, &new, &write(&writer))
            .unwrap();
        self.live = new;
    }
}

#[test]
fn what_an_applier_drops_goes_and_what_others_own_stays() {
    let mut world = World::new();
    let both = json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]);
    world.apply("one", &config(both, json!(2)), false).unwrap();
    world
        .apply(
            "two",
            &config(json!([{"name": "b", "image": "b:1"}]), Value::Null),
            false,
        )
        .unwrap();
    world
        .apply(
            "one",
            &config(json!([{"name": "a", "image": "a:2"}]), Value::Null),
            false,
        )
        .unwrap();
    assert_eq!(
        world.live,
        json!({ "spec": { "template": { "spec": { "containers": [
            {"name": "a", "image": "a:2"}, {"name": "b", "image": "b:1"},
        ] } } } })
    );
    world.apply("two", &json!({}), false).unwrap();
    assert_eq!(
        world.live["spec"]["template"]["spec"]["containers"],
        json!([{"name": "a", "image": "a:2"}])
    );
}

#[test]
fn another_value_for_a_field_of_somebody_else_is_a_conflict_unless_forced() {
    let mut world = World::new();
    world
        .apply(
            "one",
            &config(json!([{"name": "a", "image": "a:1"}]), json!(1)),
            false,
        )
        .unwrap();
    let other = config(json!([{"name": "a", "image": "a:2"}]), json!(1));
    assert_eq!(
        world.apply("two", &other, false),
        Err(vec![
            r#""one" using apps/v1: .spec.template.spec.containers[name="a"].image"#.to_owned()
        ])
    );
    world.apply("two", &other, true).unwrap();
    // Now it is the other way round.
    assert!(
        world
            .apply(
                "one",
                &config(json!([{"name": "a", "image": "a:1"}]), json!(1)),
                false
            )
            .is_err()
    );
    // The same value is shared.
    world.apply("one", &other, false).unwrap();
}

#[test]
fn an_update_takes_the_fields_that_it_changes() {
    let mut world = World::new();
    world
        .apply(
            "one",
            &config(json!([{"name": "a", "image": "a:1"}]), json!(1)),
            false,
        )
        .unwrap();
    let mut new = world.live.clone();
    new["spec"]["replicas"] = json!(5);
    world.update("scaler", new);
    let again = config(json!([{"name": "a", "image": "a:1"}]), json!(1));
    assert_eq!(
        world.apply("one", &again, false),
        Err(vec![r#""scaler" using apps/v1: .spec.replicas"#.to_owned()])
    );
    // An applier that leaves the field alone leaves it to the other.
    world
        .apply(
            "one",
            &config(json!([{"name": "a", "image": "a:1"}]), Value::Null),
            false,
        )
        .unwrap();
    assert_eq!(world.live["spec"]["replicas"], 5);
}

#[test]
fn what_is_written_is_read_back() {
    let mut world = World::new();
    world
        .apply(
            "one",
            &config(json!([{"name": "a", "image": "a:1"}]), json!(1)),
            false,
        )
        .unwrap();
    let mut new = world.live.clone();
    new["metadata"] = json!({ "labels": { "x": "y" } });
    world.update("labeller", new);
    let mut object = world.live.clone();
    world.managers.write(&mut object);
    assert_eq!(Managers::read(&object).unwrap(), world.managers);
    assert_eq!(object["metadata"]["managedFields"][0]["operation"], "Apply");
    assert_eq!(
        object["metadata"]["managedFields"][1]["fieldsV1"],
        json!({ "f:metadata": { "f:labels": { "f:x": {} } } })
    );
}

/// Containers by name with an image each, as one applier wants them.
fn wish() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-c]", "[xy]", 0..3).prop_map(|containers| {
        let items: Vec<Value> = containers
            .into_iter()
            .map(|(name, image)| json!({ "name": name, "image": image }))
            .collect();
        if items.is_empty() {
            json!({})
        } else {
            config(items.into(), Value::Null)
        }
    })
}

fn items(object: &Value) -> Vec<Value> {
    let list = object
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

proptest! {
    #[test]
    fn after_forced_applies_each_last_wish_is_there_and_nothing_else(
        wishes in prop::collection::vec((0..2_usize, wish()), 0..8),
    ) {
        let mut world = World::new();
        let mut last = [json!({}), json!({})];
        for (writer, wish) in wishes {
            world.apply(["one", "two"][writer], &wish, true).unwrap();
            for item in items(&wish) {
                prop_assert!(items(&world.live).contains(&item));
            }
            // The same again changes nothing.
            let before = (world.live.clone(), world.managers.clone());
            world.apply(["one", "two"][writer], &wish, true).unwrap();
            prop_assert_eq!(&before, &(world.live.clone(), world.managers.clone()));
            last[writer] = wish;
        }
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        let mut wanted: Vec<String> = last.iter().flat_map(items).map(|item| name(&item)).collect();
        wanted.sort();
        wanted.dedup();
        let mut found: Vec<String> = items(&world.live).iter().map(name).collect();
        found.sort();
        prop_assert_eq!(found, wanted);
    }
}

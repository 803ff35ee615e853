//! Owners of the generated objects. Orphans are owned again, objects of others are refused. Also with the admission
//! plugin `OwnerReferencesPermissionEnforcement`.

use controller::cluster::Kind;
use controller::routing::{gateway_api, istio};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    adoption::{Left, effects, taken_over},
    gateway_api::{Gateways, gateway_canary},
    release::{TRANSCRIPT, image},
    world::{Running, World, canary, deployment, template},
};

/// The objects that a canary generates with Istio.
const GENERATED: [(Kind, &str); 7] = [
    (Kind::SERVICE, "simple-app-canary"),
    (Kind::SERVICE, "simple-app-primary"),
    (Kind::SERVICE, "simple-app"),
    (Kind::DEPLOYMENT, "simple-app-primary"),
    (istio::DESTINATION_RULE, "simple-app-canary"),
    (istio::DESTINATION_RULE, "simple-app-primary"),
    (istio::VIRTUAL_SERVICE, "simple-app"),
];
const COPY: (Kind, &str) = (Kind::CONFIG_MAP, "settings-primary");

fn settings(value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "key": value } })
}

/// The article's Deployment, which reads a ConfigMap.
fn configured() -> Value {
    let mut target = deployment("1.0.0");
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "configMapRef": { "name": "settings" } }]);
    target
}

async fn initialize(world: &World) {
    world.apply(Kind::CONFIG_MAP, &settings("one")).await;
    world.apply(Kind::METRIC_TEMPLATE, &template()).await;
    world.apply(Kind::DEPLOYMENT, &configured()).await;
    world.apply(Kind::CANARY, &canary()).await;
    world.phase("simple-app", "Initialized").await;
}

/// Does the same as `kubectl delete canary --cascade=orphan`, and recreates the Canary.
async fn orphan(world: &World, running: Running, objects: &[(Kind, &str)], canary: &Value) {
    drop(running);
    for (kind, name) in objects {
        let nobody = json!({ "metadata": { "ownerReferences": null } });
        world.merge(*kind, name, &nobody).await;
    }
    let canaries = world.api(Kind::CANARY);
    let name = canary["metadata"]["name"].as_str().unwrap();
    canaries.delete(name, &Default::default()).await.unwrap();
    world.apply(Kind::CANARY, canary).await;
}

async fn owners(world: &World, (kind, name): (Kind, &str)) -> Value {
    world.get(kind, name).await["metadata"]["ownerReferences"].clone()
}

async fn is_owned(world: &World, object: (Kind, &str)) -> bool {
    let uid = world.get(Kind::CANARY, "simple-app").await["metadata"]["uid"].clone();
    owners(world, object).await[0]["uid"] == uid
}

/// Grants the permissions that docs/rights.md lists for owning objects again.
async fn allow_owning(world: &World) {
    let page = include_str!("../../../docs/rights.md");
    let (_, yaml) = page.split_once("```yaml\n").unwrap();
    let (yaml, _) = yaml.split_once("```").unwrap();
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let object: DynamicObject =
            serde_json::from_value(Value::deserialize(document).unwrap()).unwrap();
        let kind = object.types.as_ref().unwrap().kind.clone();
        let version = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &kind);
        let api: Api<DynamicObject> =
            Api::all_with(world.client.clone(), &ApiResource::from_gvk(&version));
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

/// Releases code and configuration, then code alone.
async fn release_twice(world: &World, content: &str) {
    world.apply(Kind::CONFIG_MAP, &settings(content)).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Progressing").await;
    world.phase("simple-app", "Succeeded").await;
    world.set_image("1.0.2").await;
    world.phase("simple-app", "Progressing").await;
    world.phase("simple-app", "Succeeded").await;
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    assert_eq!(image(&primary), "simple-app:1.0.2");
    let copy = world.get(COPY.0, COPY.1).await;
    assert_eq!(copy["data"]["key"], content);
}

#[tokio::test(start_paused = true)]
async fn with_enforced_owners_releases_continue_and_unowned_objects_are_reported_once() {
    let world = World::new().await;
    world.server.admission().set_enforces_owners(true);
    let running = world.start();
    initialize(&world).await;
    let all = [&GENERATED[..], &[COPY]].concat();
    for object in &all {
        assert!(is_owned(&world, *object).await, "{object:?}");
    }
    release_twice(&world, "two").await;
    let events = world.events("simple-app").await;
    assert!(
        events.ends_with(&TRANSCRIPT.map(String::from)),
        "{events:#?}"
    );

    orphan(&world, running, &all, &canary()).await;
    let running = world.start();
    world.phase("simple-app", "Initialized").await;
    let before = world.events("simple-app").await.len();
    release_twice(&world, "three").await;
    let events = world.events("simple-app").await;
    let about: Vec<_> = events
        .iter()
        .filter(|event| event.contains("will stay when Canary simple-app.default is deleted"))
        .collect();
    let [warning] = about.as_slice() else {
        panic!("{events:#?}")
    };
    for (kind, name) in &all {
        assert!(warning.contains(&format!("{kind} {name}")), "{warning}");
        assert_eq!(owners(&world, (*kind, name)).await, Value::Null, "{name}");
    }
    assert!(
        warning.contains("cannot set an ownerRef on a resource you can't delete"),
        "{warning}"
    );
    let warnings = events[before..]
        .iter()
        .filter(|event| event.starts_with("Warning"));
    assert_eq!(warnings.count(), 0, "{events:#?}");
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);

    // With the documented permissions, the objects are owned again.
    drop(running);
    allow_owning(&world).await;
    let _running = world.start();
    for object in &all {
        world
            .until(&format!("{object:?} is owned"), async || {
                is_owned(&world, *object).await
            })
            .await;
    }
}

/// A second app reads the same ConfigMap.
#[tokio::test(start_paused = true)]
async fn a_shared_copy_is_owned_by_both_canaries_or_its_deletion_is_announced() {
    for enforced in [false, true] {
        let world = World::new().await;
        world.server.admission().set_enforces_owners(enforced);
        let _running = world.start();
        initialize(&world).await;
        let mut target = configured();
        for name in [
            "/metadata/name",
            "/metadata/labels/app",
            "/spec/selector/matchLabels/app",
            "/spec/template/metadata/labels/app",
        ] {
            if let Some(name) = target.pointer_mut(name) {
                *name = json!("other");
            }
        }
        world.apply(Kind::DEPLOYMENT, &target).await;
        let mut second = canary();
        second["metadata"]["name"] = json!("other");
        second["spec"]["targetRef"]["name"] = json!("other");
        second["spec"]["service"]["hosts"] = Value::Null;
        world.apply(Kind::CANARY, &second).await;
        world.phase("other", "Initialized").await;
        let owners = owners(&world, COPY).await;
        let names: Vec<_> = owners
            .as_array()
            .unwrap()
            .iter()
            .map(|owner| (owner["name"].as_str().unwrap(), owner["controller"] == true))
            .collect();
        let events = world.events("other").await;
        let announced = events.iter().any(|event| {
            event.contains("ConfigMap settings-primary will go with the Canary that owns it")
        });
        if enforced {
            assert_eq!(names, [("simple-app", true)]);
        } else {
            assert_eq!(names, [("simple-app", true), ("other", false)]);
        }
        assert_eq!(announced, enforced, "{events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn orphaned_objects_are_owned_again() {
    let world = World::new().await;
    let running = world.start();
    initialize(&world).await;
    let all = [&GENERATED[..], &[COPY]].concat();
    let before = effects(&world).await;
    orphan(&world, running, &all, &canary()).await;
    let running = world.start();
    for object in &all {
        world
            .until(&format!("{object:?} is owned"), async || {
                is_owned(&world, *object).await
            })
            .await;
        let owners = owners(&world, *object).await;
        assert_eq!(owners.as_array().unwrap().len(), 1, "{owners}");
        assert_eq!(owners[0]["controller"], true);
    }
    world.phase("simple-app", "Initialized").await;
    assert_eq!(
        effects(&world).await["simple-app-primary"],
        before["simple-app-primary"]
    );
    let writes = running.recorder.writes();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(running.recorder.writes(), writes, "written again");

    // References to an earlier Canary of this name, such as those restored from a backup, are replaced.
    drop(running);
    let stale = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "name": "simple-app", "uid": "00000000-0000-0000-0000-000000000000", "controller": true }] } });
    for (kind, name) in &all {
        world.merge(*kind, name, &stale).await;
    }
    let _running = world.start();
    for object in &all {
        world
            .until(&format!("{object:?} is owned"), async || {
                is_owned(&world, *object).await
            })
            .await;
        assert_eq!(owners(&world, *object).await.as_array().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn orphans_of_flagger_are_owned_again_and_nothing_else_changes() {
    let world = World::new().await;
    Left::idle("Succeeded").put_into(&world, &canary()).await;
    for (kind, name) in GENERATED {
        let nobody = json!({ "metadata": { "ownerReferences": null } });
        world.merge(kind, name, &nobody).await;
    }
    let before = effects(&world).await;
    let _running = world.start();
    taken_over(&world).await;
    for object in GENERATED {
        world
            .until(&format!("{object:?} is owned"), async || {
                is_owned(&world, object).await
            })
            .await;
    }
    assert_eq!(effects(&world).await, before);
    assert_eq!(world.events("simple-app").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_orphaned_http_route_is_owned_again() {
    let world = World::new().await;
    let _gateways = Gateways::start(&world);
    let running = world.start();
    world.initialize(&gateway_canary()).await;
    let route = (gateway_api::HTTP_ROUTE, "simple-app");
    orphan(&world, running, &[route], &gateway_canary()).await;
    let _running = world.start();
    world
        .until("it is owned", async || is_owned(&world, route).await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_existing_service_and_route_are_used_but_not_owned() {
    let world = World::new().await;
    let running = world.start();
    let service = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "simple-app", "labels": { "app": "simple-app" } },
        "spec": { "selector": { "app": "simple-app" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] } });
    let route = json!({ "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": { "name": "simple-app" },
        "spec": { "hosts": ["simple-app"], "http": [{ "route": [{ "destination": { "host": "simple-app" } }] }] } });
    world.apply(Kind::SERVICE, &service).await;
    world.apply(istio::VIRTUAL_SERVICE, &route).await;
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    for (kind, name) in GENERATED {
        let users = [Kind::SERVICE, istio::VIRTUAL_SERVICE].contains(&kind) && name == "simple-app";
        assert_eq!(
            is_owned(&world, (kind, name)).await,
            !users,
            "{kind} {name}"
        );
    }
    // Nor after the Canary is recreated.
    let made: Vec<_> = GENERATED
        .into_iter()
        .filter(|(_, name)| *name != "simple-app")
        .collect();
    orphan(&world, running, &made, &canary()).await;
    let _running = world.start();
    world.phase("simple-app", "Initialized").await;
    for object in made {
        world
            .until(&format!("{object:?} is owned"), async || {
                is_owned(&world, object).await
            })
            .await;
    }
    for kind in [Kind::SERVICE, istio::VIRTUAL_SERVICE] {
        assert_eq!(owners(&world, (kind, "simple-app")).await, Value::Null);
    }
}

/// Objects of others: kind, name, object, and the reason of the refusal.
fn strangers() -> Vec<(Kind, &'static str, Value, &'static str)> {
    let named = |kind: Kind, name: &str, rest: Value| {
        let mut object = json!({ "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": { "name": name } });
        json_patch::merge(&mut object, &rest);
        object
    };
    let other = |labels: Value| {
        let mut other = deployment("7.0.0");
        other["metadata"] = json!({ "name": "simple-app-primary", "labels": labels });
        other["spec"]["selector"]["matchLabels"] = labels.clone();
        other["spec"]["template"]["metadata"]["labels"] = labels;
        other
    };
    let selecting =
        |labels: Value| json!({ "spec": { "selector": labels, "ports": [{ "port": 80 }] } });
    let owned = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "example.com/v1", "kind": "Shop",
        "name": "shop", "uid": "1", "controller": true }] } });
    let mut service_of_another = selecting(json!({ "app": "simple-app" }));
    json_patch::merge(&mut service_of_another, &owned);
    vec![
        (
            Kind::DEPLOYMENT,
            "simple-app-primary",
            other(json!({ "app": "db" })),
            "its selector is app=db, not app=simple-app-primary",
        ),
        (
            Kind::DEPLOYMENT,
            "simple-app-primary",
            other(json!({ "app": "simple-app-primary" })),
            "its pod template lacks the annotation flagger-id",
        ),
        (
            Kind::SERVICE,
            "simple-app-primary",
            named(
                Kind::SERVICE,
                "simple-app-primary",
                selecting(json!({ "app": "db" })),
            ),
            r#"its selector is {"app":"db"}, not {"app":"simple-app-primary"}"#,
        ),
        (
            Kind::SERVICE,
            "simple-app-canary",
            named(
                Kind::SERVICE,
                "simple-app-canary",
                selecting(json!({ "app": "simple-app" })),
            ),
            "it lacks the label app or the annotation kustomize.toolkit.fluxcd.io/reconcile",
        ),
        (
            Kind::SERVICE,
            "simple-app-canary",
            named(Kind::SERVICE, "simple-app-canary", service_of_another),
            "it is owned by Shop shop",
        ),
        (
            istio::DESTINATION_RULE,
            "simple-app-canary",
            named(
                istio::DESTINATION_RULE,
                "simple-app-canary",
                json!({ "spec": { "host": "other" } }),
            ),
            r#"its host is "other", not "simple-app-canary""#,
        ),
        (
            istio::DESTINATION_RULE,
            "simple-app-primary",
            named(
                istio::DESTINATION_RULE,
                "simple-app-primary",
                json!({ "spec": { "host": "simple-app-primary", "subsets": [{ "name": "v1", "labels": { "v": "1" } }] } }),
            ),
            "it sets spec.subsets, which generated DestinationRules do not",
        ),
        (
            Kind::CONFIG_MAP,
            "settings-primary",
            named(
                Kind::CONFIG_MAP,
                "settings-primary",
                json!({ "data": { "key": "theirs" } }),
            ),
            r#"its content differs from ConfigMap "settings" and the primary does not use it"#,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_object_of_others_is_refused_by_name_and_nothing_is_written() {
    for (kind, name, stranger, why) in strangers() {
        let world = World::new().await;
        let running = world.start();
        world.apply(Kind::CONFIG_MAP, &settings("one")).await;
        world.apply(Kind::METRIC_TEMPLATE, &template()).await;
        world.apply(Kind::DEPLOYMENT, &configured()).await;
        world.apply(kind, &stranger).await;
        let before = world.get(kind, name).await;
        world.apply(Kind::CANARY, &canary()).await;
        world
            .until("the refusal", async || {
                world.status("simple-app").await["waiting"]["reason"] == "Invalid"
            })
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(300)).await;
        let events = world.events("simple-app").await;
        let [event] = events.as_slice() else {
            panic!("{events:#?}")
        };
        let words =
            format!("{kind} \"{name}\" exists and does not belong to Canary \"simple-app\": {why}");
        assert!(event.contains(&words), "{words}\n{event}");
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        let found = world.get(kind, name).await;
        assert_eq!(
            (uid(&found), &found["spec"], &found["data"]),
            (uid(&before), &before["spec"], &before["data"])
        );
        assert_eq!(
            owners(&world, (kind, name)).await,
            before["metadata"]["ownerReferences"]
        );
        for (other, generated) in [&GENERATED[..], &[COPY]].concat() {
            if (other, generated) != (kind, name) {
                assert_eq!(
                    world.get(other, generated).await,
                    Value::Null,
                    "{generated}"
                );
            }
        }
        let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
        assert_eq!(target["spec"]["replicas"], 1);
        // One event and one status.
        assert_eq!(running.recorder.writes() - running.recorder.tried(), 2);

        world
            .api(kind)
            .delete(name, &Default::default())
            .await
            .unwrap();
        world.phase("simple-app", "Initialized").await;
        assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
    }
}

/// Every release copies, so every release checks the owner of an existing copy.
#[tokio::test(start_paused = true)]
async fn a_new_config_map_does_not_overwrite_an_object_of_others() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings-primary" },
        "data": { "key": "theirs" } });
    world.apply(Kind::CONFIG_MAP, &theirs).await;
    world.apply(Kind::CONFIG_MAP, &settings("one")).await;
    let mut target = configured();
    target["spec"]["replicas"] = Value::Null;
    world.merge(Kind::DEPLOYMENT, "simple-app", &target).await;
    world
        .until("the refusal", async || {
            let waiting = world.status("simple-app").await["waiting"].clone();
            let message = waiting["message"].as_str().unwrap_or_default();
            message.contains("ConfigMap \"settings-primary\" exists and does not belong")
        })
        .await;
    assert_eq!(world.get(COPY.0, COPY.1).await["data"]["key"], "theirs");
    let api = world.api(Kind::CONFIG_MAP);
    api.delete("settings-primary", &Default::default())
        .await
        .unwrap();
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(world.get(COPY.0, COPY.1).await["data"]["key"], "one");
}

//! A foreign definition of Canaries, such as Flagger's, which drops status fields that the controller needs.

use std::time::Duration;

use controller::cluster::Kind;
use controller::routing::istio;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    adoption::{Left, effects, taken_over},
    docs::is_explained,
    recorder::untried,
    release::{image, weights},
    world::{World, canary, deployment},
};

/// This controller's definition of Canaries.
fn own() -> Value {
    controller::api::definitions().unwrap().remove(0)
}

/// The same definition, with only the status fields of Flagger's.
fn flaggers() -> Value {
    let mut definition = own();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let status = schema["properties"]["status"].as_object_mut().unwrap();
    status.remove("x-kubernetes-preserve-unknown-fields");
    let fields = status["properties"].as_object_mut().unwrap();
    fields.retain(|_, field| {
        let words = field["description"].as_str().unwrap_or_default();
        !words.starts_with("Addition:")
    });
    definition
}

/// A second app with its canary.
async fn deploy_another(world: &World) {
    let mut target = deployment("1.0.0");
    target["metadata"]["name"] = json!("other");
    let mut object = canary();
    object["metadata"]["name"] = json!("other");
    object["spec"]["targetRef"]["name"] = json!("other");
    world.apply(Kind::DEPLOYMENT, &target).await;
    world.apply(Kind::CANARY, &object).await;
}

/// Waits for the event that reports the wrong definition and its fix.
async fn definition_is_reported(world: &World, name: &str) {
    let what = format!("{name} reports the definition");
    world
        .until(&what, async || {
            let events = world.events(name).await;
            let report = events.iter().find(|event| event.contains("Definition"));
            report.is_some_and(|event| {
                let message = event.strip_prefix("Warning ").unwrap();
                assert!(
                    is_explained(message),
                    "not in docs/troubleshooting.md: {message}"
                );
                message.contains("canaries.flagger.app drops the status fields")
                    && message.contains("kubectl apply -f manifests/controller/crds.yaml")
            })
        })
        .await;
}

async fn route(world: &World) -> Vec<u64> {
    weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await)
}

#[tokio::test(start_paused = true)]
async fn releases_wait_until_flaggers_definition_is_replaced() {
    let world = World::new().await;
    world.define(&flaggers()).await;
    Left::idle("Succeeded").put_into(&world, &canary()).await;
    let addition = Patch::Merge(json!({ "status": { "phaseSince": "2023-11-14T22:00:00Z" } }));
    let params = PatchParams::default();
    let answer = world
        .api(Kind::CANARY)
        .patch_status("simple-app", &params, &addition)
        .await
        .unwrap();
    assert_eq!(answer.data["status"]["phaseSince"], Value::Null);
    assert_eq!(answer.data["status"]["phase"], "Succeeded");

    // Repairs must wait too.
    let annotation = "helm.toolkit.fluxcd.io/driftDetection";
    let drift = json!({ "metadata": { "annotations": { (annotation): null } } });
    let repaired = async || {
        let service = world.get(Kind::SERVICE, "simple-app-canary").await;
        service["metadata"]["annotations"][annotation].is_string()
    };
    assert!(repaired().await);
    world
        .merge(Kind::SERVICE, "simple-app-canary", &drift)
        .await;
    assert!(!repaired().await);

    let before = effects(&world).await;
    let running = world.start_unchecked();
    definition_is_reported(&world, "simple-app").await;
    taken_over(&world).await;
    assert_eq!(effects(&world).await, before);
    world.set_image("1.0.1").await;
    let asked = running.recorder.writes();
    deploy_another(&world).await;
    definition_is_reported(&world, "other").await;
    let cost = running.recorder.writes() - asked;
    assert!(cost <= 2, "an event and at most one dry run: {cost}");

    let asked = running.recorder.writes();
    let tried = running.recorder.tried();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = running.recorder.tried() - tried;
    assert!((8..=11).contains(&tries), "one dry run a minute: {tries}");
    assert_eq!(running.recorder.writes() - asked, tries, "only dry runs");
    let after = effects(&world).await;
    for untouched in ["simple-app-primary", "service simple-app", "route"] {
        assert_eq!(after[untouched], before[untouched], "{untouched}");
    }
    assert_eq!(world.events("simple-app").await.len(), 1);
    assert_eq!(world.status("simple-app").await["phase"], "Succeeded");
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );
    assert!(world.get(Kind::SERVICE, "other").await.is_null());
    assert!(!repaired().await);

    world.define(&own()).await;
    world.phase("simple-app", "Progressing").await;
    world.phase("simple-app", "Succeeded").await;
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    assert_eq!(image(&primary), "simple-app:1.0.1");
    assert!(repaired().await);
    world.phase("other", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn a_release_pauses_while_flaggers_definition_is_installed() {
    let world = World::new().await;
    let running = world.start_unchecked();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    world.define(&flaggers()).await;
    definition_is_reported(&world, "simple-app").await;
    let (before, calls) = (route(&world).await, world.web.calls("flagger-loadtester"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(route(&world).await, before);
    assert_eq!(world.web.calls("flagger-loadtester"), calls);

    world.define(&own()).await;
    world.phase("simple-app", "Succeeded").await;
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    assert_eq!(image(&primary), "simple-app:1.0.1");
    let events = world.events("simple-app").await;
    let starts = |event: &&String| event.contains("New revision detected");
    assert_eq!(events.iter().filter(starts).count(), 1, "{events:#?}");
    let reports = |event: &&String| event.contains("Definition");
    assert_eq!(events.iter().filter(reports).count(), 1, "{events:#?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_refused_canary_does_not_keep_writing_dropped_fields() {
    let world = World::new().await;
    world.define(&flaggers()).await;
    let running = world.start_unchecked();
    let mut wrong = canary();
    wrong["spec"]["targetRef"]["name"] = json!("missing");
    world.apply(Kind::CANARY, &wrong).await;
    definition_is_reported(&world, "simple-app").await;
    let (asked, tried) = (running.recorder.writes(), running.recorder.tried());
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = running.recorder.tried() - tried;
    assert_eq!(running.recorder.writes() - asked, tries);

    world.define(&own()).await;
    world
        .until("the refusal", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Invalid"
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_correct_definition_is_checked_once_and_not_again_after_a_restart() {
    let world = World::new().await;
    let first = world.start();
    world.initialize(&canary()).await;
    deploy_another(&world).await;
    world.phase("other", "Initialized").await;
    assert_eq!(first.recorder.tried_of("canaries/status"), 1);
    drop(first);
    let second = world.start();
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(second.recorder.tried(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_dry_run_the_first_write_checks_the_definition() {
    let world = World::new().await;
    let running = world.start_through(untried);
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(running.recorder.tried_of("canaries/status"), 1);
    drop(running);

    let world = World::new().await;
    world.define(&flaggers()).await;
    let _running = world.start_through(untried);
    world.deploy(&canary()).await;
    definition_is_reported(&world, "simple-app").await;
}

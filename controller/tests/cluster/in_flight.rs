//! Changes while a webhook or query is in flight. They take effect at once, and a response counts only if it still
//! applies to the current state.

use std::sync::Arc;

use controller::cluster::{Cluster, Freshness, Key, Kind, Notify};
use controller::routing::{self, istio};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    page,
    release::weights,
    web::status,
    world::{Running, World, canary},
};

/// Waits until the controller's local copies show a change.
async fn seen(world: &World, running: &Running, what: &str, shows: impl Fn(&Value) -> bool) {
    let path = "/api/canaries/default/simple-app";
    world
        .until(&format!("the controller sees {what}"), async || {
            shows(&page::json(&running.endpoints, path).await)
        })
        .await;
}

/// A release at weight 10. Its next check has sent a request to the server `part`, which does not respond.
async fn checked_at_10(world: &World, part: &'static str) -> Running {
    let running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(10).await;
    world.web.hold(part);
    let before = world.web.calls(part);
    world
        .until("the next check", async || world.web.calls(part) > before)
        .await;
    running
}

async fn route(world: &World) -> Vec<u64> {
    weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await)
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_suspended_during_a_check_keeps_its_weight() {
    for part in ["flagger-loadtester", "prometheus"] {
        let world = World::new().await;
        let running = checked_at_10(&world, part).await;
        let suspend = json!({ "spec": { "suspend": true } });
        world.merge(Kind::CANARY, "simple-app", &suspend).await;
        seen(&world, &running, "the suspension", |page| {
            page["suspended"] == true
        })
        .await;
        world.web.let_go();
        world
            .until("the status shows the suspension", async || {
                world.status("simple-app").await["waiting"]["reason"] == "Suspended"
            })
            .await;
        assert_eq!(route(&world).await, [90, 10], "{part}");
        assert_eq!(world.status("simple-app").await["canaryWeight"], 10);

        let resume = json!({ "spec": { "suspend": false } });
        world.merge(Kind::CANARY, "simple-app", &resume).await;
        world.phase("simple-app", "Succeeded").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_of_one_revision_does_not_start_another() {
    let world = World::new().await;
    let mut gated = canary();
    gated["spec"]["analysis"]["webhooks"] = json!([
        { "name": "start", "type": "confirm-rollout", "url": "http://gate/start" }]);
    let running = world.start();
    world.initialize(&gated).await;
    world.web.hold("gate");
    world.set_image("1.0.1").await;
    world
        .until("the gate is asked", async || world.web.calls("gate") == 1)
        .await;
    // The gate approves this call and refuses all later ones.
    world.web.answer_with(|_| status(403, "Forbidden"));
    world.set_image("1.0.2").await;
    seen(&world, &running, "the new revision", |page| {
        page["images"]["target"] == json!(["simple-app:1.0.2"])
    })
    .await;
    world.web.let_go();
    world
        .until("the gate is asked again", async || {
            world.web.calls("gate") > 1
        })
        .await;
    world.phase("simple-app", "Waiting").await;
    let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
    assert_eq!(target["spec"]["replicas"], 0);
    let events = world.events("simple-app").await;
    let started = |event: &String| event.contains("New revision detected");
    assert!(!events.iter().any(started), "{events:#?}");

    world.web.measure(1.0);
    world.phase("simple-app", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_pods_fail_during_a_check_gets_no_more_traffic() {
    let world = World::new().await;
    let _running = checked_at_10(&world, "flagger-loadtester").await;
    *world.broken_image.lock().unwrap() = "simple-app:1.0.1".to_owned();
    let dead = json!({ "status": { "availableReplicas": 0, "readyReplicas": 0 } });
    world
        .api(Kind::DEPLOYMENT)
        .patch_status("simple-app", &PatchParams::default(), &Patch::Merge(dead))
        .await
        .unwrap();
    world
        .until("the progress deadline passes", async || {
            let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
            target["status"]["conditions"][0]["status"] == "False"
        })
        .await;
    world.web.let_go();
    world.phase("simple-app", "Failed").await;
    let events = world.events("simple-app").await;
    let raised = |event: &String| event.ends_with("canary weight 20");
    assert!(!events.iter().any(raised), "{events:#?}");
    assert_eq!(route(&world).await, [100, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_does_not_wait_for_writes_of_another_canary() {
    let world = World::new().await;
    let watches = CancellationToken::new();
    let notify: Notify = Arc::new(|_| {});
    let cluster = Cluster::watch(
        world.client.clone(),
        &routing::watched_kinds(),
        None,
        &notify,
        &watches,
    );
    world
        .until("the initial lists", async || cluster.unready().is_empty())
        .await;
    // From now on the local copies are stale.
    watches.cancel();
    let settings = json!({ "metadata": { "name": "settings" } });
    let settings = serde_json::from_value(settings).unwrap();
    let kind = Kind::CONFIG_MAP;
    cluster.create(kind, "default", &settings).await.unwrap();
    let mine = cluster.freshness("default", |key| key.name == "settings");
    let key = Key::new(kind, "default", "settings");
    assert_eq!(mine.await.unwrap(), Freshness::Behind(key));
    let not_mine = cluster.freshness("default", |key| key.name != "settings");
    assert_eq!(not_mine.await.unwrap(), Freshness::Fresh);
}

//! Complete releases.

use std::time::Duration;

use controller::cluster::Kind;
use controller::routing::istio;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    web::{ok, status, vector},
    world::{World, canary},
};

/// The events of a successful release.
pub const TRANSCRIPT: [&str; 10] = [
    "Normal New revision detected! Scaling up simple-app.default",
    "Normal Starting canary analysis for simple-app.default",
    "Normal Advance simple-app.default canary weight 10",
    "Normal Advance simple-app.default canary weight 20",
    "Normal Advance simple-app.default canary weight 30",
    "Normal Advance simple-app.default canary weight 40",
    "Normal Advance simple-app.default canary weight 50",
    "Normal Copying simple-app.default template spec to simple-app-primary.default",
    "Normal Routing all traffic to primary",
    "Normal Promotion completed! Scaling down simple-app.default",
];

pub fn image(deployment: &Value) -> &str {
    deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap()
}

pub fn weights(route: &Value) -> Vec<u64> {
    let split = route["spec"]["http"][0]["route"].as_array().unwrap();
    split
        .iter()
        .map(|one| one["weight"].as_u64().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_is_released_with_the_events_of_the_transcript() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    let before = world.events("simple-app").await.len();
    assert_eq!(
        weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await),
        [100, 0]
    );
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );

    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;

    assert_eq!(world.events("simple-app").await[before..], TRANSCRIPT);
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    assert_eq!(image(&primary), "simple-app:1.0.1");
    assert_eq!(
        weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await),
        [100, 0]
    );
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );
    let status = world.status("simple-app").await;
    assert_eq!(status["conditions"][0]["type"], "Promoted");
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["lastAppliedSpec"], status["lastPromotedSpec"]);
    let check = status["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(check["name"], "request-processing-seconds-avg");
    assert_eq!(
        (check["value"].as_f64(), check["verdict"].as_str()),
        (Some(1.0), Some("Pass"))
    );
    let queries = world.web.queries();
    assert!(
        queries
            .iter()
            .all(|q| q == "request_processing_seconds_sum / request_processing_seconds_count")
    );
    let hooks = world.web.bodies("flagger-loadtester");
    assert_eq!(hooks[0]["phase"], "Progressing");
    assert_eq!(
        hooks[0]["metadata"]["cmd"],
        "hey -z 2m -q 1000 -c 2 http://simple-app-canary.default:80/"
    );
}

#[tokio::test(start_paused = true)]
async fn the_generated_objects_are_owned_by_the_canary_and_select_the_right_pods() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    let uid = world.get(Kind::CANARY, "simple-app").await["metadata"]["uid"].clone();
    for (kind, name) in [
        (Kind::DEPLOYMENT, "simple-app-primary"),
        (Kind::SERVICE, "simple-app"),
        (Kind::SERVICE, "simple-app-primary"),
        (Kind::SERVICE, "simple-app-canary"),
        (istio::VIRTUAL_SERVICE, "simple-app"),
        (istio::DESTINATION_RULE, "simple-app-primary"),
        (istio::DESTINATION_RULE, "simple-app-canary"),
    ] {
        let object = world.get(kind, name).await;
        assert_eq!(
            object["metadata"]["ownerReferences"][0]["uid"], uid,
            "{kind} {name}"
        );
    }
    let selector =
        async |name: &str| world.get(Kind::SERVICE, name).await["spec"]["selector"]["app"].clone();
    assert_eq!(selector("simple-app").await, "simple-app-primary");
    assert_eq!(selector("simple-app-primary").await, "simple-app-primary");
    assert_eq!(selector("simple-app-canary").await, "simple-app");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_reports_metric_value_and_threshold() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.web.measure(4.5);
    world.set_image("1.0.2-slow").await;
    world.phase("simple-app", "Failed").await;

    let events = world.events("simple-app").await;
    let halt =
        "Warning Halt simple-app.default advancement request-processing-seconds-avg 4.50 > 3";
    assert_eq!(
        events.iter().filter(|event| *event == halt).count(),
        5,
        "{events:#?}"
    );
    let end = &events[events.len() - 2..];
    assert_eq!(
        end,
        [
            "Warning Rolling back simple-app.default failed checks threshold reached 5",
            "Warning Canary failed! Scaling down simple-app.default"
        ]
    );
    assert_eq!(
        image(&world.get(Kind::DEPLOYMENT, "simple-app-primary").await),
        "simple-app:1.0.0"
    );
    assert_eq!(
        weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await),
        [100, 0]
    );
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );
    let check = world.status("simple-app").await["checks"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (check["value"].as_f64(), check["verdict"].as_str()),
        (Some(4.5), Some("Fail"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_worst_of_several_series_decides_and_is_reported() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world
        .web
        .answer_with(|_| ok(&vector(&[("a", 1.0), ("b", 7.0), ("c", 2.0)])));
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Failed").await;
    let events = world.events("simple-app").await;
    assert!(
        events
            .iter()
            .any(|event| event.contains("7.00 > 3") && event.contains("pod=\"b\"")),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalid_query_is_reported_with_the_error_of_prometheus() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.web.answer_with(|request| {
        if request.body.is_some() {
            return ok("OK");
        }
        status(400, r#"{"status":"error","errorType":"bad_data","error":"1:9: parse error: unexpected identifier"}"#)
    });
    world.set_image("1.0.1").await;
    world
        .until("an event with the parse error", async || {
            let events = world.events("simple-app").await;
            events.iter().any(|event| {
                event.contains("Metric query failed for request-processing-seconds-avg")
                    && event.contains("parse error: unexpected identifier")
            })
        })
        .await;
    // The first weight is set before the first check; it must not increase after that.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(world.status("simple-app").await["canaryWeight"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_run_restarts_it_and_only_the_last_revision_is_promoted() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    world.set_image("1.0.2").await;
    world.phase("simple-app", "Succeeded").await;
    let events = world.events("simple-app").await;
    let restart = "Normal New revision detected! Restarting analysis for simple-app.default";
    assert_eq!(
        events.iter().filter(|event| *event == restart).count(),
        1,
        "{events:#?}"
    );
    assert_eq!(
        image(&world.get(Kind::DEPLOYMENT, "simple-app-primary").await),
        "simple-app:1.0.2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_restarts_in_the_middle_of_a_run_is_not_worth_an_event() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(30).await;
    let restarts = json!({ "status": { "availableReplicas": 0, "readyReplicas": 0 } });
    world
        .api(Kind::DEPLOYMENT)
        .patch_status(
            "simple-app-primary",
            &PatchParams::default(),
            &Patch::Merge(restarts),
        )
        .await
        .unwrap();
    world.weight(40).await;
    let events = world.events("simple-app").await;
    let unready = |event: &&String| event.contains("not ready");
    assert_eq!(events.iter().find(unready), None, "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_become_ready_are_rolled_back_without_traffic() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    *world.broken_image.lock().unwrap() = "simple-app:9.9.9".to_owned();
    world.set_image("9.9.9").await;
    world.phase("simple-app", "Failed").await;
    let events = world.events("simple-app").await;
    assert!(
        !events.iter().any(|event| event.contains("canary weight")),
        "{events:#?}"
    );
    assert_eq!(
        image(&world.get(Kind::DEPLOYMENT, "simple-app-primary").await),
        "simple-app:1.0.0"
    );
}

#[tokio::test(start_paused = true)]
async fn gates_pause_a_release_and_a_rollback_webhook_rolls_it_back() {
    let world = World::new().await;
    let mut canary = canary();
    canary["spec"]["analysis"]["webhooks"] = json!([
        { "name": "start", "type": "confirm-rollout", "url": "http://gate/start" },
        { "name": "promote", "type": "confirm-promotion", "url": "http://gate/promote" },
        { "name": "undo", "type": "rollback", "url": "http://gate/undo" },
        { "name": "after", "type": "post-rollout", "url": "http://gate/after" },
        { "name": "events", "type": "event", "url": "http://gate/events" },
    ]);
    let gate = |open: &'static str| {
        move |request: &controller::process::http::Request| match request
            .url
            .rsplit('/')
            .next()
            .unwrap()
        {
            name if request.body.is_none() => {
                let _ = name;
                ok(&vector(&[("", 1.0)]))
            }
            "after" | "events" => status(204, ""),
            name if open.contains(name) => ok("OK"),
            _ => status(403, "Forbidden"),
        }
    };
    world.web.answer_with(gate(""));
    let _running = world.start();
    world.initialize(&canary).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Waiting").await;
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );
    world.web.answer_with(gate("start"));
    world.phase("simple-app", "WaitingPromotion").await;
    assert_eq!(
        weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await),
        [50, 50]
    );
    world.web.answer_with(gate("start undo"));
    world.phase("simple-app", "Failed").await;
    world
        .until("the post-rollout webhook", async || {
            !world.web.bodies("/after").is_empty()
        })
        .await;
    assert_eq!(world.web.bodies("/after")[0]["phase"], "Failed");
    world
        .until("event webhooks", async || {
            world.web.bodies("/events").len() > 5
        })
        .await;
    let metadata = &world.web.bodies("/events")[0]["metadata"];
    assert!(
        metadata["eventMessage"].is_string()
            && metadata["eventType"].is_string()
            && metadata["timestamp"].is_string()
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_config_map_is_released_and_copied() {
    let world = World::new().await;
    let _running = world.start();
    let config = |value: &str| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" },
            "data": { "key": value } })
    };
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" },
        "type": "Opaque", "stringData": { "key": "s3cret" } });
    world.apply(Kind::CONFIG_MAP, &config("one")).await;
    world.apply(Kind::SECRET, &secret).await;
    let mut deployment = crate::world::deployment("1.0.0");
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "configMapRef": { "name": "settings" } }, { "secretRef": { "name": "keys" } }]);
    world.apply(Kind::DEPLOYMENT, &deployment).await;
    world
        .apply(Kind::METRIC_TEMPLATE, &crate::world::template())
        .await;
    world.apply(Kind::CANARY, &canary()).await;
    world.phase("simple-app", "Initialized").await;
    assert_eq!(
        world.get(Kind::CONFIG_MAP, "settings-primary").await["data"]["key"],
        "one"
    );
    assert_eq!(
        world.get(Kind::SECRET, "keys-primary").await["data"]["key"],
        "czNjcmV0"
    );

    world
        .merge(
            Kind::CONFIG_MAP,
            "settings",
            &json!({ "data": { "key": "two" } }),
        )
        .await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(
        world.get(Kind::CONFIG_MAP, "settings-primary").await["data"]["key"],
        "two"
    );
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    let from = &primary["spec"]["template"]["spec"]["containers"][0]["envFrom"];
    assert_eq!(from[0]["configMapRef"]["name"], "settings-primary");
    assert_eq!(from[1]["secretRef"]["name"], "keys-primary");
}

#[tokio::test(start_paused = true)]
async fn a_repair_during_a_run_keeps_the_weights() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    world
        .merge(
            istio::VIRTUAL_SERVICE,
            "simple-app",
            &json!({ "spec": { "gateways": ["other"] } }),
        )
        .await;
    world
        .until("the gateways repaired", async || {
            world.get(istio::VIRTUAL_SERVICE, "simple-app").await["spec"]["gateways"]
                == json!(["mesh"])
        })
        .await;
    let canary_weight = weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await)[1];
    assert!(canary_weight >= 20, "{canary_weight}");
    world.phase("simple-app", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn unknown_status_fields_survive_a_release() {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    let patch = Patch::Merge(json!({ "status": { "lastTrackedRevision": "v2:abc" } }));
    let params = PatchParams::default();
    world
        .api(Kind::CANARY)
        .patch_status("simple-app", &params, &patch)
        .await
        .unwrap();
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(
        world.status("simple-app").await["lastTrackedRevision"],
        "v2:abc"
    );
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_status_written_by_flagger_starts_no_release() {
    let world = World::new().await;
    let first = world.start();
    world.initialize(&canary()).await;
    drop(first);
    let foreign = json!({ "status": { "phase": "Succeeded", "lastAppliedSpec": "7d9c5b4f6",
        "lastPromotedSpec": "7d9c5b4f6" } });
    let patch = Patch::Merge(foreign);
    let params = PatchParams::default();
    world
        .api(Kind::CANARY)
        .patch_status("simple-app", &params, &patch)
        .await
        .unwrap();
    let before = world.events("simple-app").await.len();
    let _second = world.start();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(world.status("simple-app").await["phase"], "Succeeded");
    let events = world.events("simple-app").await;
    assert!(
        !events[before..]
            .iter()
            .any(|event| event.contains("New revision")),
        "{events:#?}"
    );
}

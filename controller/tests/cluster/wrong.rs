//! Invalid canaries, and missing dependencies. Each is reported with its fix, and none affects another canary.

use std::time::Duration;

use controller::cluster::Kind;
use controller::routing::istio;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{
    release::weights,
    rules::without_rules,
    web::{ok, vector},
    world::{World, canary, deployment, template},
};

/// Invalid canaries: path and value of the error, and the field and fix that the event must contain.
pub fn cases() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        (
            "/spec/targetRef/name",
            json!("nobody"),
            "spec.targetRef.name",
            "create it or correct the name",
        ),
        (
            "/spec/provider",
            json!("linkerd"),
            "spec.provider",
            "use one of: istio",
        ),
        (
            "/spec/provider",
            json!("gatewayapi:v1"),
            "spec.service.gatewayRefs",
            "name the Gateway or Service",
        ),
        (
            "/spec/analysis/interval",
            json!("1s"),
            "spec.analysis.interval",
            "--min-interval",
        ),
        (
            "/spec/analysis/interval",
            json!("5sx"),
            "spec.analysis.interval",
            "such as 30s",
        ),
        (
            "/spec/analysis/metrics/0/thresholdRange",
            json!({}),
            "spec.analysis.metrics[0].thresholdRange",
            "min, max or both",
        ),
        (
            "/spec/analysis/metrics/0/thresholdRange",
            json!({ "min": 5, "max": 3 }),
            "spec.analysis.metrics[0].thresholdRange",
            "swap min and max",
        ),
        (
            "/spec/analysis/metrics/0/templateRef/name",
            json!("nothing"),
            "spec.analysis.metrics[0].templateRef.name",
            "create it or correct the reference",
        ),
        (
            "/spec/analysis/stepWeight",
            json!(0),
            "spec.analysis.stepWeight",
            "1 to 100",
        ),
        (
            "/spec/analysis/maxWeight",
            json!(101),
            "spec.analysis.maxWeight",
            "1 to 100",
        ),
        (
            "/spec/analysis/mirror",
            json!(true),
            "spec.analysis.mirror",
            "remove the field",
        ),
        (
            "/spec/analysis/match",
            json!([{ "headers": {} }]),
            "spec.analysis.match",
            "remove the field",
        ),
        (
            "/spec/analysis/sessionAffinity",
            json!({ "cookieName": "c" }),
            "spec.analysis.sessionAffinity",
            "remove the field",
        ),
        (
            "/spec/analysis/webhooks/0/url",
            json!("loadtester"),
            "spec.analysis.webhooks[0].url",
            "http://HOST",
        ),
        (
            "/spec/autoscalerRef",
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "h" }),
            "spec.autoscalerRef",
            "remove the field",
        ),
        (
            "/spec/targetRef/kind",
            json!("DaemonSet"),
            "spec.targetRef.kind",
            "use a Deployment",
        ),
        (
            "/spec/service/port",
            json!(0),
            "spec.service.port",
            "1 to 65535",
        ),
        (
            "/spec/analysis/alerts",
            json!([{ "name": "a", "providerRef": { "name": "none" } }]),
            "spec.analysis.alerts[0].providerRef.name",
            "create it",
        ),
    ]
}

fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, field) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

#[tokio::test(start_paused = true)]
async fn every_invalid_canary_is_refused_with_one_event_that_names_field_and_fix() {
    let world = World::new().await;
    // The API server's validation rules refuse some of them. Canaries may be older than the rules.
    world.define(&without_rules()).await;
    // Each invalid canary has its own target, so that it has only one error.
    let running = world.start_with(Default::default(), Default::default(), None);
    world.apply(Kind::METRIC_TEMPLATE, &template()).await;
    for (number, (path, value, _, _)) in cases().into_iter().enumerate() {
        let name = format!("app-{number}");
        let mut target = deployment("1.0.0");
        target["metadata"]["name"] = json!(name);
        world.apply(Kind::DEPLOYMENT, &target).await;
        let mut object = canary();
        object["metadata"]["name"] = json!(name);
        object["spec"]["targetRef"]["name"] = json!(name);
        world.apply(Kind::CANARY, &with(object, path, value)).await;
    }
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    for (number, (path, _, field, fix)) in cases().into_iter().enumerate() {
        let name = format!("app-{number}");
        let events = world.events(&name).await;
        assert_eq!(events.len(), 1, "{path}: {events:#?}");
        assert!(events[0].starts_with("Warning"), "{events:?}");
        assert!(
            events[0].contains(field) && events[0].contains(fix),
            "{path}: {events:?}"
        );
        let status = world.status(&name).await;
        assert_eq!(status["waiting"]["reason"], "Invalid", "{path}");
        assert_eq!(status["conditions"], Value::Null);
        assert!(world.get(Kind::SERVICE, &name).await.is_null(), "{path}");
    }
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_refused_canary_starts_when_what_it_refers_to_appears() {
    let world = World::new().await;
    let _running = world.start();
    world.apply(Kind::CANARY, &canary()).await;
    world
        .until("the refusal", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Invalid"
        })
        .await;
    world.apply(Kind::DEPLOYMENT, &deployment("1.0.0")).await;
    world.apply(Kind::METRIC_TEMPLATE, &template()).await;
    world.phase("simple-app", "Initialized").await;
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_second_canary_of_the_same_target_is_refused() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    let mut rival = canary();
    rival["metadata"]["name"] = json!("rival");
    world.apply(Kind::CANARY, &rival).await;
    world
        .until("the refusal", async || {
            world.status("rival").await["waiting"]["reason"] == "Invalid"
        })
        .await;
    assert!(world.events("rival").await[0].contains("already belongs to Canary \"simple-app\""));
    world
        .api(Kind::CANARY)
        .delete("simple-app", &Default::default())
        .await
        .unwrap();
    world.phase("rival", "Initialized").await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_deleted_during_a_run_does_not_block_it() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    let name = "request-processing-seconds-avg";
    world
        .api(Kind::METRIC_TEMPLATE)
        .delete(name, &Default::default())
        .await
        .unwrap();
    world
        .until("an event about the template", async || {
            let events = world.events("simple-app").await;
            events.iter().any(|event| {
                event.contains("Metric template request-processing-seconds-avg.default error")
            })
        })
        .await;
    world.apply(Kind::METRIC_TEMPLATE, &template()).await;
    world.phase("simple-app", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_tick_stops_no_canary() {
    let world = World::new().await;
    let _running = world.start();
    world.deploy(&canary()).await;
    let mut target = deployment("1.0.0");
    target["metadata"]["name"] = json!("other");
    world.apply(Kind::DEPLOYMENT, &target).await;
    let mut other = canary();
    other["metadata"]["name"] = json!("other");
    other["spec"]["targetRef"]["name"] = json!("other");
    other["spec"]["analysis"]["webhooks"] = json!([{ "name": "trap", "url": "http://trap/" }]);
    world.apply(Kind::CANARY, &other).await;
    world.phase("simple-app", "Initialized").await;
    world.phase("other", "Initialized").await;
    world.web.answer_with(|request| {
        assert!(!request.url.contains("trap"), "a trap");
        if request.body.is_some() {
            ok("OK")
        } else {
            ok(&vector(&[("", 1.0)]))
        }
    });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": { "a": "b" } } } } });
    world.merge(Kind::DEPLOYMENT, "other", &patch).await;
    world
        .until("the tick with the trap", async || {
            world.status("other").await["phase"] == "Progressing"
        })
        .await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(world.status("other").await["phase"], "Progressing");
    world.web.measure(1.0);
    world.phase("other", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn a_rival_controller_causes_no_endless_repairs() {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    let before = running.recorder.writes();
    // The rival keeps restoring its annotation.
    let rival = async {
        let patch = json!({ "metadata": { "annotations": { "rival": "was here" } } });
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        while tokio::time::Instant::now() < end {
            world.merge(Kind::SERVICE, "simple-app", &patch).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    rival.await;
    let writes = running.recorder.writes() - before;
    assert!((1..=45).contains(&writes), "{writes}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_api_server_is_reported_once() {
    let world = World::new().await;
    let _running = world.start();
    let mut wrong = canary();
    wrong["spec"]["service"]["portName"] = json!("not a port name!");
    world.deploy(&wrong).await;
    world
        .until("the refusal", async || {
            !world.events("simple-app").await.is_empty()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let events = world.events("simple-app").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(
        events[0].starts_with("Warning create Service default/simple-app-canary"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_deployment_is_deleted_gets_no_traffic_until_it_is_recreated() {
    let world = World::new().await;
    let _running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(10).await;
    let deployments = world.api(Kind::DEPLOYMENT);
    deployments
        .delete("simple-app", &DeleteParams::default())
        .await
        .unwrap();
    world
        .until("the primary has all traffic", async || {
            weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await) == [100, 0]
        })
        .await;
    world
        .until("the status shows the reason", async || {
            let waiting = world.status("simple-app").await["waiting"].clone();
            let text = waiting["message"].as_str().unwrap_or_default().to_owned();
            waiting["reason"] == "CanaryNotReady" && text.contains("it was deleted; recreate it")
        })
        .await;
    assert_eq!(world.status("simple-app").await["phase"], "Progressing");

    world.apply(Kind::DEPLOYMENT, &deployment("1.0.1")).await;
    world.phase("simple-app", "Succeeded").await;
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    let image = &primary["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "simple-app:1.0.1");
}

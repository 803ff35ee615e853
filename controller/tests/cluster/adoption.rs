//! Adoption from Flagger, in every phase that Flagger can leave behind. No pod may restart.

use std::time::Duration;

use controller::cluster::Kind;
use controller::routing::istio;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    release::{image, weights},
    web::status,
    world::{World, canary, deployment, template},
};

/// The state that Flagger leaves behind when it is stopped.
pub struct Left {
    phase: &'static str,
    /// Condition `Promoted`: status and message.
    promoted: (&'static str, &'static str),
    /// Version of the target, and its number of replicas.
    target: (&'static str, u64),
    primary: &'static str,
    /// Live weight of the canary.
    weight: u64,
    /// Weight in the status, which Flagger sets to 0 in some phases.
    status_weight: u64,
    failed_checks: u64,
    /// Hashes of the last applied and the last promoted template, in Flagger's format.
    hashes: (&'static str, &'static str),
}

const APPLIED: &str = "7f9c8d6b54";
const PROMOTED: &str = "58b7dfc94c";
const DONE: &str = "Canary analysis completed successfully, promotion finished.";
const UNDER_WAY: &str = "New revision detected, progressing canary analysis.";

impl Left {
    /// Between two releases.
    pub fn idle(phase: &'static str) -> Self {
        Self {
            phase,
            promoted: ("True", DONE),
            target: ("1.0.0", 0),
            primary: "1.0.0",
            weight: 0,
            status_weight: 0,
            failed_checks: 0,
            hashes: (PROMOTED, PROMOTED),
        }
    }

    /// During the release of 1.0.1.
    fn under_way(phase: &'static str, weight: u64) -> Self {
        Self {
            phase,
            promoted: ("Unknown", UNDER_WAY),
            target: ("1.0.1", 1),
            weight,
            status_weight: weight,
            hashes: (APPLIED, PROMOTED),
            ..Self::idle(phase)
        }
    }

    /// Creates the objects and the status that Flagger leaves behind.
    pub async fn put_into(&self, world: &World, canary: &Value) {
        world.apply(Kind::CANARY, canary).await;
        let owner = json!([{ "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "simple-app",
            "uid": world.get(Kind::CANARY, "simple-app").await["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true }]);
        world.apply(Kind::METRIC_TEMPLATE, &template()).await;
        let mut target = deployment(self.target.0);
        target["spec"]["replicas"] = json!(self.target.1);
        world.apply(Kind::DEPLOYMENT, &target).await;
        world
            .apply(Kind::DEPLOYMENT, &primary(self.primary, &owner))
            .await;
        for (name, app) in [
            ("simple-app", "simple-app-primary"),
            ("simple-app-primary", "simple-app-primary"),
            ("simple-app-canary", "simple-app"),
        ] {
            world
                .apply(Kind::SERVICE, &service(name, app, &owner))
                .await;
        }
        for side in ["primary", "canary"] {
            let name = format!("simple-app-{side}");
            let rule = json!({ "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule",
                "metadata": { "name": name, "namespace": "default", "ownerReferences": owner },
                "spec": { "host": name } });
            world.apply(istio::DESTINATION_RULE, &rule).await;
        }
        let route = json!({ "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
            "metadata": { "name": "simple-app", "namespace": "default", "ownerReferences": owner,
                "annotations": not_for_flux() },
            "spec": { "hosts": ["simple-app"], "gateways": ["mesh"], "http": [{ "route": [
                { "destination": { "host": "simple-app-primary" }, "weight": 100 - self.weight },
                { "destination": { "host": "simple-app-canary" }, "weight": self.weight } ] }] } });
        world.apply(istio::VIRTUAL_SERVICE, &route).await;
        let when = "2023-11-14T22:00:00Z";
        let status = json!({ "status": {
            "phase": self.phase, "canaryWeight": self.status_weight, "failedChecks": self.failed_checks,
            "iterations": 0, "lastAppliedSpec": self.hashes.0, "lastPromotedSpec": self.hashes.1,
            "lastTransitionTime": when, "trackedConfigs": {},
            "conditions": [{ "type": "Promoted", "status": self.promoted.0, "reason": self.phase,
                "message": self.promoted.1, "lastUpdateTime": when, "lastTransitionTime": when }] } });
        world
            .api(Kind::CANARY)
            .patch_status("simple-app", &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
        for name in ["simple-app", "simple-app-primary"] {
            world
                .until(&format!("{name} is ready"), async || {
                    let found = world.get(Kind::DEPLOYMENT, name).await;
                    found["status"]["observedGeneration"] == found["metadata"]["generation"]
                })
                .await;
        }
    }
}

/// The primary as Flagger creates it. Flagger sets the annotation to a new random value for each promotion.
fn primary(version: &str, owner: &Value) -> Value {
    let mut primary = deployment(version);
    primary["metadata"] = json!({ "name": "simple-app-primary", "namespace": "default",
        "labels": { "app": "simple-app-primary" }, "ownerReferences": owner,
        "annotations": { "deployment.kubernetes.io/revision": "3" } });
    primary["spec"]["selector"]["matchLabels"]["app"] = json!("simple-app-primary");
    primary["spec"]["template"]["metadata"] = json!({ "labels": { "app": "simple-app-primary" },
        "annotations": { "flagger-id": "b8a44e2c-1d7e-4c52-9a43-0f6f0c2d7e11" } });
    primary
}

fn service(name: &str, app: &str, owner: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name },
            "annotations": not_for_flux(), "ownerReferences": owner },
        "spec": { "type": "ClusterIP", "selector": { "app": app }, "ports": [
            { "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 },
            { "name": "prometheus", "port": 8000, "protocol": "TCP", "targetPort": 8000 } ] } })
}

fn not_for_flux() -> Value {
    json!({ "kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "disabled" })
}

/// Everything that would restart a pod or shift traffic if it changed.
pub async fn effects(world: &World) -> Value {
    let mut seen = json!({});
    for name in ["simple-app", "simple-app-primary"] {
        let deployment = world.get(Kind::DEPLOYMENT, name).await;
        seen[name] = json!([
            deployment["metadata"]["uid"],
            deployment["metadata"]["generation"],
            deployment["spec"]
        ]);
    }
    for name in ["simple-app", "simple-app-primary", "simple-app-canary"] {
        seen[format!("service {name}")] = world.get(Kind::SERVICE, name).await["spec"].clone();
    }
    seen["route"] = world.get(istio::VIRTUAL_SERVICE, "simple-app").await["spec"].clone();
    seen
}

/// Waits until the controller has adopted the canary: it has written the revision in its own format.
pub async fn taken_over(world: &World) {
    world
        .until("the controller has adopted the canary", async || {
            let status = world.status("simple-app").await;
            let revision = status["lastAppliedSpec"].as_str().unwrap_or_default();
            revision.starts_with("sha256:")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn adoption_between_releases_changes_only_the_status() {
    for left in [
        Left::idle("Initialized"),
        Left::idle("Succeeded"),
        Left {
            promoted: (
                "False",
                "Canary analysis failed, Deployment scaled to zero.",
            ),
            target: ("1.0.2-slow", 0),
            hashes: (APPLIED, PROMOTED),
            ..Left::idle("Failed")
        },
    ] {
        let world = World::new().await;
        left.put_into(&world, &canary()).await;
        let before = effects(&world).await;
        let _running = world.start();
        taken_over(&world).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(effects(&world).await, before, "{}", left.phase);
        assert_eq!(world.status("simple-app").await["phase"], left.phase);
        assert_eq!(world.events("simple-app").await, [""; 0], "{}", left.phase);

        // The next revision is released as usual.
        world.set_image("1.0.3").await;
        world.phase("simple-app", "Progressing").await;
        world.phase("simple-app", "Succeeded").await;
        let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
        assert_eq!(image(&primary), "simple-app:1.0.3", "{}", left.phase);
    }
}

#[tokio::test(start_paused = true)]
async fn an_adopted_release_continues_from_the_live_weight() {
    for (left, first) in [
        (
            Left {
                failed_checks: 2,
                ..Left::under_way("Progressing", 30)
            },
            "Normal Advance simple-app.default canary weight 40",
        ),
        (
            Left {
                status_weight: 0,
                promoted: ("Unknown", "Waiting for approval."),
                ..Left::under_way("WaitingPromotion", 50)
            },
            "Normal Copying simple-app.default template spec to simple-app-primary.default",
        ),
        (
            Left {
                primary: "1.0.1",
                ..Left::under_way("Promoting", 50)
            },
            "Normal Routing all traffic to primary",
        ),
        (
            Left {
                primary: "1.0.1",
                ..Left::under_way("Finalising", 0)
            },
            "Normal Promotion completed! Scaling down simple-app.default",
        ),
    ] {
        let world = World::new().await;
        left.put_into(&world, &canary()).await;
        let before = effects(&world).await;
        let _running = world.start();
        taken_over(&world).await;
        assert_eq!(effects(&world).await, before, "{}", left.phase);
        if left.failed_checks > 0 {
            let failed_checks = world.status("simple-app").await["failedChecks"].clone();
            assert_eq!(failed_checks, left.failed_checks);
        }

        world.phase("simple-app", "Succeeded").await;
        let events = world.events("simple-app").await;
        assert_eq!(events[0], first, "{}: {events:#?}", left.phase);
        let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
        assert_eq!(image(&primary), "simple-app:1.0.1");
        if left.primary == "1.0.1" {
            let template = &primary["spec"]["template"];
            assert_eq!(
                *template, before["simple-app-primary"][2]["template"],
                "{}: the template was copied again, which restarts the pods",
                left.phase
            );
        }
        let route = world.get(istio::VIRTUAL_SERVICE, "simple-app").await;
        assert_eq!(weights(&route), [100, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_adopted_release_waits_until_its_gate_opens() {
    let mut gated = canary();
    gated["spec"]["analysis"]["webhooks"] = json!([
        { "name": "gate", "type": "confirm-rollout", "url": "http://gate.default/" }]);
    let world = World::new().await;
    world.web.answer_with(|_| status(403, "not yet"));
    let left = Left {
        promoted: ("Unknown", "Waiting for approval."),
        target: ("1.0.1", 0),
        hashes: (PROMOTED, PROMOTED),
        ..Left::idle("Waiting")
    };
    left.put_into(&world, &gated).await;
    let before = effects(&world).await;
    let _running = world.start();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(effects(&world).await, before);
    assert_eq!(world.status("simple-app").await["phase"], "Waiting");

    world.web.measure(1.0);
    world.phase("simple-app", "Succeeded").await;
    let primary = world.get(Kind::DEPLOYMENT, "simple-app-primary").await;
    assert_eq!(image(&primary), "simple-app:1.0.1");
}

#[tokio::test(start_paused = true)]
async fn after_a_return_to_flagger_it_can_continue_the_release() {
    let world = World::new().await;
    Left::under_way("Progressing", 30)
        .put_into(&world, &canary())
        .await;
    let running = world.start();
    world.weight(40).await;
    running.shutdown.cancel();
    drop(running);
    // Flagger reads the phase and counters from the status, and the weight from the route. It takes the unknown hash
    // for a new revision, so it restarts the analysis of the same target.
    let status = world.status("simple-app").await;
    assert_eq!(status["phase"], "Progressing");
    assert_eq!(status["canaryWeight"], 40);
    assert_eq!(status["conditions"][0]["reason"], "Progressing");
    let route = world.get(istio::VIRTUAL_SERVICE, "simple-app").await;
    assert_eq!(weights(&route), [60, 40]);
    let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
    assert_eq!(image(&target), "simple-app:1.0.1");
}

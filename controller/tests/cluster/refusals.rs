//! Refusals of the API server. Dry runs find them before the first write. Where they cannot, the canary reports the
//! objects that it has created so far.

use controller::cluster::Kind;
use controller::routing::istio;
use localcluster_apiserver::admission::{Denial, Quota, Refusal};
use serde_json::{Value, json};

use crate::{
    recorder::untried,
    world::{World, canary},
};

/// Waits for a refusal and returns its message in the status.
async fn refused(world: &World) -> String {
    world
        .until("the refusal", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Refused"
        })
        .await;
    let message = world.status("simple-app").await["waiting"]["message"].clone();
    let message = message.as_str().unwrap().to_owned();
    let events = world.events("simple-app").await;
    assert!(
        events
            .iter()
            .any(|event| event.starts_with("Warning") && event.contains(&message[..40])),
        "{message}\n{events:#?}"
    );
    message
}

/// Returns the generated objects in the namespace.
async fn made(world: &World) -> Vec<String> {
    let mut made = Vec::new();
    for kind in [
        Kind::DEPLOYMENT,
        Kind::SERVICE,
        istio::DESTINATION_RULE,
        istio::VIRTUAL_SERVICE,
    ] {
        for object in world.api(kind).list(&Default::default()).await.unwrap() {
            made.push(format!("{kind} {}", object.metadata.name.unwrap()));
        }
    }
    made.retain(|name| name != "Deployment simple-app");
    made
}

#[tokio::test(start_paused = true)]
async fn dry_runs_find_refusals_before_the_first_write() {
    let policy = Refusal::PodSecurity {
        policy: "restricted:latest".to_owned(),
        why: "runAsNonRoot != true".to_owned(),
    };
    let denial = Denial::by_webhook("deployments.apps", "not today").named("simple-app-primary");
    let cases = [
        (
            vec![Quota::new("default", "deployments.apps", 1)],
            vec![],
            "exceeded quota: objects, requested: count/deployments.apps=1",
        ),
        (
            vec![],
            vec![denial.clone()],
            r#"admission webhook "deny.example.com" denied the request: not today"#,
        ),
        (
            vec![],
            vec![Denial {
                refusal: policy,
                ..denial
            }],
            r#"violates PodSecurity "restricted:latest": runAsNonRoot"#,
        ),
        // Objects of a later tick.
        (
            vec![],
            vec![Denial::by_webhook(
                "virtualservices.networking.istio.io",
                "no routes",
            )],
            "denied the request: no routes",
        ),
        (
            vec![],
            vec![Denial::by_webhook("services", "no names").named("simple-app")],
            "denied the request: no names",
        ),
    ];
    for (quotas, denials, words) in cases {
        let world = World::new().await;
        let _running = world.start();
        let admission = world.server.admission();
        admission.set_quotas(quotas);
        admission.set_denials(denials);
        world.deploy(&canary()).await;
        let message = refused(&world).await;
        assert!(message.contains(words), "{words}\n{message}");
        assert!(
            message.ends_with("; nothing has been made yet"),
            "{message}"
        );
        tokio::time::sleep(std::time::Duration::from_secs(300)).await;
        assert_eq!(made(&world).await, [""; 0], "{words}");
        assert_eq!(
            world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
            1
        );

        admission.set_quotas([]);
        admission.set_denials([]);
        world.phase("simple-app", "Initialized").await;
        assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
    }
}

/// The dry run of each of three Services succeeds, but the quota allows only two.
#[tokio::test(start_paused = true)]
async fn a_quota_that_dry_runs_cannot_detect_is_reported_with_the_created_objects() {
    let world = World::new().await;
    let _running = world.start();
    world
        .server
        .admission()
        .set_quotas([Quota::new("default", "services", 2)]);
    world.deploy(&canary()).await;
    let message = refused(&world).await;
    assert!(
        message.contains(
            "requested: count/services=1, used: count/services=2, limited: count/services=2"
        ),
        "{message}"
    );
    let so_far = "; made so far: Service simple-app-canary, Service simple-app-primary, Deployment simple-app-primary; still missing: Service simple-app, \
        DestinationRule simple-app-canary, DestinationRule simple-app-primary, VirtualService simple-app";
    assert!(message.ends_with(so_far), "{message}");
    let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
    assert_eq!(target["spec"]["replicas"], 1, "the target keeps serving");
    world.server.admission().set_quotas([]);
    world.phase("simple-app", "Initialized").await;
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn without_dry_run_a_refusal_is_reported_with_the_created_objects() {
    let world = World::new().await;
    let _running = world.start_through(untried);
    world
        .server
        .admission()
        .set_quotas([Quota::new("default", "deployments.apps", 1)]);
    world.deploy(&canary()).await;
    let message = refused(&world).await;
    let so_far = "; made so far: Service simple-app-canary, Service simple-app-primary; still missing: Deployment simple-app-primary, \
        Service simple-app, DestinationRule simple-app-canary, DestinationRule simple-app-primary, VirtualService simple-app";
    assert!(
        message.contains("exceeded quota") && message.ends_with(so_far),
        "{message}"
    );
    world.server.admission().set_quotas([]);
    world.phase("simple-app", "Initialized").await;
}

/// Dry runs happen once, at the start of the initialization.
#[tokio::test(start_paused = true)]
async fn a_release_makes_no_dry_runs() {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    let tried = running.recorder.tried();
    // The definition of Canaries, three Services, the primary, and the three objects of the route.
    assert_eq!(tried, 1 + 3 + 1 + 3);
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(running.recorder.tried(), tried);
}

/// Promotion copies ConfigMaps and Secrets that the primary does not use yet.
#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_created_is_refused_before_the_release_starts() {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    let admission = world.server.admission();
    let denial = Denial::by_webhook("configmaps", "no copies").named("settings-primary");
    admission.set_denials([denial]);
    let settings = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "key": "one" } });
    world.apply(Kind::CONFIG_MAP, &settings).await;
    let tried = running.recorder.tried();
    let target = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "simple-app", "image": "simple-app:1.0.1",
        "envFrom": [{ "configMapRef": { "name": "settings" } }] }] } } } });
    world.merge(Kind::DEPLOYMENT, "simple-app", &target).await;
    let message = refused(&world).await;
    assert!(
        message.contains("denied the request: no copies") && !message.contains("made so far"),
        "{message}"
    );
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    assert_eq!(world.status("simple-app").await["phase"], "Initialized");
    let target = world.get(Kind::DEPLOYMENT, "simple-app").await;
    assert_eq!(target["spec"]["replicas"], 0, "the target was scaled up");
    assert!(running.recorder.tried() > tried);

    admission.set_denials([]);
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
    let copy = world.get(Kind::CONFIG_MAP, "settings-primary").await;
    assert_eq!(copy["data"]["key"], "one");
    // A release that creates no object makes no dry runs.
    let tried = running.recorder.tried();
    world.set_image("1.0.2").await;
    world.phase("simple-app", "Progressing").await;
    world.phase("simple-app", "Succeeded").await;
    assert_eq!(running.recorder.tried(), tried);
}

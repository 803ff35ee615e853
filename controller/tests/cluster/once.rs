//! Concurrent writers. The controller does not plan on stale copies, has no effect twice, and writes only changes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use controller::cluster::Kind;
use controller::routing::istio;
use http::{Method, Request};
use kube::{
    Client,
    api::{Patch, PatchParams},
    client::Body,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    page,
    release::TRANSCRIPT,
    world::{World, canary},
};

/// A client that runs `hook` before the first request that matches.
fn before_the_first<F>(
    client: Client,
    matches: impl Fn(&Request<Body>) -> bool + Clone + Send + Sync + 'static,
    hook: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Client
where
    F: Future<Output = ()> + Send,
{
    let done = Arc::new(AtomicBool::new(false));
    let service = tower::service_fn(move |request: Request<Body>| {
        let first = matches(&request) && !done.swap(true, Ordering::SeqCst);
        let (client, hook) = (client.clone(), hook.clone());
        async move {
            if first {
                hook().await;
            }
            client.send(request).await
        }
    });
    Client::new(service, "default")
}

fn is_status_patch(request: &Request<Body>) -> bool {
    *request.method() == Method::PATCH && request.uri().path().ends_with("/simple-app/status")
}

fn is_dry_run(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|q| q.contains("dryRun"))
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_changes_at_the_start_of_a_tick_is_not_planned_on_a_stale_copy() {
    let world = World::new().await;
    let (asked, mut is_asked) = watch::channel(false);
    let (free, is_free) = watch::channel(false);
    let asked = Arc::new(asked);
    // For a new canary, the controller checks by a dry run which status fields the API server keeps. Delay it.
    let running = world.start_through(|client| {
        before_the_first(client, is_dry_run, move || {
            let (asked, mut is_free) = (Arc::clone(&asked), is_free.clone());
            async move {
                asked.send_replace(true);
                is_free.wait_for(|free| *free).await.unwrap();
            }
        })
    });
    world.deploy(&canary()).await;
    is_asked.wait_for(|asked| *asked).await.unwrap();
    let suspend = json!({ "spec": { "suspend": true } });
    world.merge(Kind::CANARY, "simple-app", &suspend).await;
    let path = "/api/canaries/default/simple-app";
    world
        .until("the controller sees the suspension", async || {
            page::json(&running.endpoints, path).await["suspended"] == true
        })
        .await;
    free.send_replace(true);
    world
        .until("the status shows the suspension", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Suspended"
        })
        .await;
    for (kind, name) in [
        (Kind::SERVICE, "simple-app-primary"),
        (Kind::DEPLOYMENT, "simple-app-primary"),
    ] {
        assert_eq!(world.get(kind, name).await, Value::Null, "{name}");
    }
    assert_eq!(running.recorder.conflicts(), 0);
}

/// A canary with webhooks and alerts for everything.
fn loud() -> Value {
    let mut canary = canary();
    let hooks = &mut canary["spec"]["analysis"]["webhooks"];
    let hooks = hooks.as_array_mut().unwrap();
    hooks.push(json!({ "name": "after", "type": "post-rollout", "url": "http://after/" }));
    hooks.push(json!({ "name": "events", "type": "event", "url": "http://events/" }));
    canary["spec"]["analysis"]["alerts"] =
        json!([{ "name": "chat", "severity": "info", "providerRef": { "name": "chat" } }]);
    canary
}

#[tokio::test(start_paused = true)]
async fn webhooks_alerts_and_events_are_sent_once_even_if_the_plan_is_applied_twice() {
    for (value, end) in [(1.0, "Succeeded"), (9.0, "Failed")] {
        let world = World::new().await;
        let provider = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider",
            "metadata": { "name": "chat", "namespace": "default" },
            "spec": { "type": "slack", "address": "http://chat/" } });
        world.apply(Kind::ALERT_PROVIDER, &provider).await;
        let (api, web) = (world.api(Kind::CANARY), Arc::clone(&world.web));
        let marker = if end == "Succeeded" {
            "after/"
        } else {
            "chat/"
        };
        // Another writer changes the status just before the controller writes the end of the release.
        let is_end = {
            let web = Arc::clone(&web);
            let calls = if end == "Succeeded" { 1 } else { 3 };
            move |request: &Request<Body>| {
                is_status_patch(request) && !is_dry_run(request) && web.calls(marker) >= calls
            }
        };
        let running = world.start_through(move |client| {
            before_the_first(client, is_end, move || {
                let api = api.clone();
                async move {
                    let patch = json!({ "status": { "lastTrackedRevision": "another writer" } });
                    api.patch_status("simple-app", &PatchParams::default(), &Patch::Merge(&patch))
                        .await
                        .unwrap();
                }
            })
        });
        world.initialize(&loud()).await;
        world.web.measure(value);
        world.set_image("1.0.1").await;
        world.phase("simple-app", end).await;
        world
            .until("the hook", async || web.calls("after/") > 0)
            .await;
        tokio::time::sleep(std::time::Duration::from_secs(120)).await;
        let status = world.status("simple-app").await;
        assert_eq!(status["lastTrackedRevision"], "another writer", "{end}");
        assert!(
            running.recorder.conflicts() > 0,
            "{end}: there was no conflict"
        );

        // Initialized, new revision, end.
        let alerts: Vec<_> = web.bodies("chat/");
        assert_eq!(alerts.len(), 3, "{end}: {alerts:#?}");
        assert_eq!(web.calls("after/"), 1, "{end}");
        let called = web.bodies("events/");
        let called: Vec<_> = called
            .iter()
            .map(|body| body["metadata"]["eventMessage"].as_str().unwrap())
            .collect();
        let published = world.events("simple-app").await;
        let published: Vec<_> = published
            .iter()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(called, published, "{end}");
        let metrics = page::get(&running.endpoints, "/metrics").await.1;
        let counts: Vec<_> = metrics
            .lines()
            .filter(|line| line.contains("analysis_status="))
            .collect();
        assert_eq!(counts.len(), 1, "{metrics}");
        assert!(counts[0].ends_with(" 1"), "{counts:?}");
    }
}

/// Makes changes that do not affect a release, like those of GitOps tools and autoscalers: annotations, and fields of a
/// workload that increment its generation.
async fn annotate(world: &World, number: u32) {
    let note = json!({ "metadata": { "annotations": { "example.com/seen": number.to_string() } } });
    world.merge(Kind::CANARY, "simple-app", &note).await;
    world
        .merge(istio::VIRTUAL_SERVICE, "simple-app", &note)
        .await;
    let mut counted = note;
    counted["spec"] = json!({ "revisionHistoryLimit": number });
    for name in ["simple-app-primary", "simple-app"] {
        world.merge(Kind::DEPLOYMENT, name, &counted).await;
    }
}

/// Writes of a release of five steps.
struct Writes {
    status_patches: usize,
    events: usize,
    /// Writes that failed because another writer was first.
    conflicts: usize,
    /// Writes of the other writer.
    annotations: u32,
}

async fn writes_of_a_release(beside_a_writer: bool) -> Writes {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    let count = |verb: &str, resource: &str| {
        let asked = running.recorder.asked();
        let same = asked
            .iter()
            .filter(|asked| asked.verb == verb && asked.resource == resource);
        same.count()
    };
    let patches = || count("patch", "canaries/status");
    let events = || count("create", "events");
    let before = (patches(), events());
    world.set_image("1.0.1").await;
    let mut annotations = 0;
    let writer = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
            if beside_a_writer {
                annotations += 1;
                annotate(&world, annotations).await;
            }
        }
    };
    tokio::select! {
        () = world.phase("simple-app", "Succeeded") => {}
        () = writer => {}
    }
    // There is no Warning, for example about an outdated generation.
    let seen = world.events("simple-app").await;
    assert!(seen.ends_with(&TRANSCRIPT.map(String::from)), "{seen:#?}");
    Writes {
        status_patches: patches() - before.0,
        events: events() - before.1,
        conflicts: running.recorder.conflicts(),
        annotations,
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_writes_its_status_only_when_it_changes() {
    const STATUSES: usize = 9;
    let alone = writes_of_a_release(false).await;
    assert_eq!(alone.status_patches, STATUSES);
    assert_eq!((alone.events, alone.conflicts), (TRANSCRIPT.len(), 0));

    let beside = writes_of_a_release(true).await;
    assert!(beside.annotations >= 60, "{}", beside.annotations);
    assert_eq!(beside.events, TRANSCRIPT.len());
    // A patch that conflicts is sent again, for the new version.
    assert_eq!(beside.status_patches - beside.conflicts, STATUSES);
    assert!(beside.conflicts <= STATUSES, "{}", beside.conflicts);
}

//! Two controllers, one of which leads.

use std::time::Duration;

use controller::process::{
    lease::{NAME, Times},
    settings::Settings,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::{
    recorder::Recorder,
    release::TRANSCRIPT,
    world::{Running, World, canary},
};

fn start(world: &World, name: &str) -> Running {
    let settings = Settings {
        min_interval: Duration::ZERO,
        ..Settings::default()
    };
    world.start_with(
        Recorder::default(),
        settings,
        Some((name, Times::default())),
    )
}

async fn holder(world: &World) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(world.client.clone(), "istio-system");
    api.get_opt(NAME).await.unwrap()?.spec?.holder_identity
}

#[tokio::test(start_paused = true)]
async fn the_second_takes_over_within_the_lease_when_the_first_is_killed() {
    let world = World::new().await;
    let first = start(&world, "first");
    world
        .until("a leader", async || {
            holder(&world).await.as_deref() == Some("first")
        })
        .await;
    let second = start(&world, "second");
    world.initialize(&canary()).await;
    assert_eq!(second.recorder.writes(), 0);
    world.set_image("1.0.1").await;
    world.weight(20).await;
    drop(first);
    let killed = tokio::time::Instant::now();
    world
        .until("the second to lead", async || {
            holder(&world).await.as_deref() == Some("second")
        })
        .await;
    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    world.phase("simple-app", "Succeeded").await;
    let events = world.events("simple-app").await;
    assert!(
        events.ends_with(&TRANSCRIPT.map(String::from)),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_gives_the_lease_back_at_once() {
    let world = World::new().await;
    let mut first = start(&world, "first");
    world
        .until("a leader", async || {
            holder(&world).await.as_deref() == Some("first")
        })
        .await;
    let _second = start(&world, "second");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(holder(&world).await.as_deref(), Some("first"));
    first.shutdown.cancel();
    (&mut first.task).await.unwrap().unwrap();
    let ended = tokio::time::Instant::now();
    world
        .until("the second to lead", async || {
            holder(&world).await.as_deref() == Some("second")
        })
        .await;
    assert!(
        ended.elapsed() < Duration::from_secs(4),
        "{:?}",
        ended.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_ends_with_an_error_that_names_the_taker() {
    let world = World::new().await;
    let mut first = start(&world, "first");
    world
        .until("a leader", async || {
            holder(&world).await.as_deref() == Some("first")
        })
        .await;
    let api: Api<Lease> = Api::namespaced(world.client.clone(), "istio-system");
    let patch = serde_json::json!({ "spec": { "holderIdentity": "intruder" } });
    api.patch(NAME, &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    let error = (&mut first.task).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("intruder"), "{error}");
}

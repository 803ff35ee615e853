//! The cost of an idle canary.

use std::time::Duration;

use crate::world::{World, canary};

#[tokio::test(start_paused = true)]
async fn an_idle_canary_sends_no_requests() {
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    // One minute is enough for the reactions to the last writes.
    let count = || {
        running
            .recorder
            .asked()
            .into_iter()
            .filter(|a| !matches!(a.verb, "watch"))
            .count()
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = count();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let all = running.recorder.asked();
    assert_eq!(
        count(),
        before,
        "{:?}",
        &all[all.len().saturating_sub(20)..]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_canary_sends_no_requests() {
    let world = World::new().await;
    let running = world.start();
    let mut wrong = canary();
    wrong["spec"]["targetRef"]["name"] = "missing".into();
    world.apply(controller::cluster::Kind::CANARY, &wrong).await;
    world
        .until("the refusal", async || {
            !world.events("simple-app").await.is_empty()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let count = || {
        running
            .recorder
            .asked()
            .into_iter()
            .filter(|a| a.verb != "watch")
            .count()
    };
    let before = count();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(count(), before);
}

//! Leader election between two controllers.

use std::time::Duration;

use controller::process::{
    lease::{NAME, Times},
    settings::Settings,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::time::Instant;

use crate::{
    page,
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
async fn a_standby_takes_over_within_the_lease_duration_when_the_leader_is_killed() {
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
    let killed = Instant::now();
    world
        .until("the second to lead", async || {
            holder(&world).await.as_deref() == Some("second")
        })
        .await;
    assert!(
        killed.elapsed() < Duration::from_secs(6),
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
async fn a_leader_releases_the_lease_at_shutdown() {
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
    let ended = Instant::now();
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
async fn a_leader_whose_lease_was_taken_exits_with_an_error_that_names_the_new_holder() {
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

/// Reports whether a process exports that it is the leader.
async fn leads(running: &Running) -> bool {
    let metrics = page::get(&running.endpoints, "/metrics").await.1;
    metrics
        .lines()
        .any(|line| line == "canary_controller_leader 1")
}

/// Waits for a condition and returns how long it took, in steps of 10 ms.
async fn time_until(condition: impl AsyncFn() -> bool) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(120), "timed out");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

/// A leader and a standby, during a release.
async fn releasing(world: &World) -> (Running, Running) {
    let first = start(world, "first");
    time_until(async || leads(&first).await).await;
    let second = start(world, "second");
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.weight(20).await;
    (first, second)
}

#[tokio::test(start_paused = true)]
async fn a_takeover_takes_less_than_five_seconds_whenever_the_leader_is_killed() {
    let mut took = Vec::new();
    for moment in 0..12 {
        let world = World::new().await;
        let (first, second) = releasing(&world).await;
        // Renewals and reads have periods of 1.33 s and 0.5 s. These delays cover both.
        tokio::time::sleep(Duration::from_millis(moment * 130)).await;
        drop(first);
        // The new leader finds the new revision in its first tick.
        world.set_image("1.0.2").await;
        took.push(time_until(async || second.recorder.writes() > 0).await);
        if moment == 0 {
            world.phase("simple-app", "Succeeded").await;
        }
    }
    took.sort();
    println!("takeover: {took:?}");
    let (shortest, longest) = (took[0], took[took.len() - 1]);
    let duration = Times::default().duration();
    // The last renewal was seen at most an eighth of the duration later. The rest is for the first tick.
    assert!(
        longest < duration * 9 / 8 + Duration::from_millis(100),
        "{took:?}"
    );
    assert!(longest < Duration::from_secs(5), "{took:?}");
    assert!(shortest >= duration - duration / 3, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_leader_stops_before_another_starts_and_exits_when_it_reconnects() {
    for moment in 0..4 {
        let world = World::new().await;
        let (mut first, second) = releasing(&world).await;
        tokio::time::sleep(Duration::from_millis(moment * 430)).await;
        first.recorder.is_away(true);
        time_until(async || !leads(&first).await).await;
        assert!(!leads(&second).await, "both lead");
        let apart = time_until(async || leads(&second).await).await;
        assert!(apart >= Times::default().duration() / 4, "{apart:?}");
        first.recorder.is_away(false);
        let error = (&mut first.task).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("second"), "{error}");
        world.phase("simple-app", "Succeeded").await;
        let events = world.events("simple-app").await;
        assert!(
            events.ends_with(&TRANSCRIPT.map(String::from)),
            "{events:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_continues_after_an_outage_of_the_api_server() {
    let world = World::new().await;
    let (first, second) = releasing(&world).await;
    for running in [&first, &second] {
        running.recorder.is_away(true);
    }
    time_until(async || !leads(&first).await).await;
    let before = first.recorder.writes();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.recorder.writes(), before, "it wrote without a lease");
    assert!(!first.task.is_finished());
    // The leader reconnects first.
    first.recorder.is_away(false);
    let back = time_until(async || leads(&first).await).await;
    assert!(back <= Duration::from_secs(3), "{back:?}");
    second.recorder.is_away(false);
    world.phase("simple-app", "Succeeded").await;
    assert!(!first.task.is_finished() && second.recorder.writes() == 0);
    let events = world.events("simple-app").await;
    assert!(
        events.ends_with(&TRANSCRIPT.map(String::from)),
        "{events:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_keeps_its_lease_when_both_reconnect_at_once() {
    for moment in 0..4 {
        let world = World::new().await;
        let (first, second) = releasing(&world).await;
        let away = |away| {
            for running in [&first, &second] {
                running.recorder.is_away(away);
            }
        };
        away(true);
        tokio::time::sleep(Duration::from_millis(20_000 + moment * 430)).await;
        away(false);
        world.phase("simple-app", "Succeeded").await;
        assert!(!first.task.is_finished() && second.recorder.writes() == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_keeps_its_lease_while_the_api_server_is_slow() {
    let world = World::new().await;
    let (first, second) = releasing(&world).await;
    for running in [&first, &second] {
        running.recorder.is_slow(Duration::from_millis(1_200));
    }
    let end = Instant::now() + Duration::from_secs(120);
    while Instant::now() < end {
        assert!(leads(&first).await && !leads(&second).await);
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_does_not_lead_to_two_leaders() {
    let world = World::new().await;
    let (first, second) = releasing(&world).await;
    let api: Api<Lease> = Api::namespaced(world.client.clone(), "istio-system");
    // Not even if the leader cannot recreate it.
    first.recorder.is_away(true);
    api.delete(NAME, &Default::default()).await.unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && !leads(&second).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!(leads(&first).await && leads(&second).await), "both lead");
    }
    assert!(leads(&second).await);
    world.phase("simple-app", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_costs_one_write_per_renewal() {
    let world = World::new().await;
    let (first, second) = releasing(&world).await;
    world.phase("simple-app", "Succeeded").await;
    let count = |running: &Running, verb: &str| {
        let asked = running.recorder.asked();
        let same = asked
            .iter()
            .filter(|asked| asked.verb == verb && asked.resource == "leases");
        same.count()
    };
    let before = [
        count(&first, "update"),
        count(&first, "get"),
        count(&second, "get"),
    ];
    tokio::time::sleep(Duration::from_secs(120)).await;
    let after = [
        count(&first, "update"),
        count(&first, "get"),
        count(&second, "get"),
    ];
    let cost: Vec<_> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    assert!((89..=91).contains(&cost[0]), "renewals: {cost:?}");
    assert_eq!(cost[1], 0, "reads by the leader");
    assert!(
        (239..=241).contains(&cost[2]),
        "reads by the standby: {cost:?}"
    );
    assert_eq!(count(&second, "update"), 0);
}

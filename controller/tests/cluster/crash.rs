//! The controller is killed at each write of a release in turn, and restarted.

use controller::process::settings::Settings;
use controller::routing::istio;
use std::time::Duration;

use crate::{
    recorder::Recorder,
    release::{TRANSCRIPT, image, weights},
    world::{World, canary},
};
use controller::cluster::Kind;

fn settings() -> Settings {
    Settings {
        min_interval: Duration::ZERO,
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_write_changes_neither_the_result_nor_the_steps() {
    // Count the writes of an undisturbed initialization and release.
    let world = World::new().await;
    let running = world.start();
    world.initialize(&canary()).await;
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    let writes = running.recorder.writes();
    let undisturbed = world.events("simple-app").await;
    assert!(writes > 30, "{writes}");
    drop((running, world));

    for cut in 1..=writes {
        let world = World::new().await;
        let recorder = Recorder::cut_after(cut);
        let first = world.start_with(recorder.clone(), settings(), None);
        world.deploy(&canary()).await;
        let release = async {
            world.phase("simple-app", "Initialized").await;
            world.set_image("1.0.1").await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = release => {}
            () = recorder.cut() => {}
        }
        drop(first);
        let _second = world.start();
        world
            .until("initialized at least", async || {
                let phase = world.status("simple-app").await["phase"].clone();
                phase.is_string() && !["", "Initializing"].contains(&phase.as_str().unwrap())
            })
            .await;
        world.set_image("1.0.1").await;
        world.phase("simple-app", "Succeeded").await;
        let events = world.events("simple-app").await;
        assert_eq!(events, undisturbed, "killed at write {cut}");
        assert!(events.ends_with(&TRANSCRIPT.map(String::from)));
        assert_eq!(
            image(&world.get(Kind::DEPLOYMENT, "simple-app-primary").await),
            "simple-app:1.0.1"
        );
        assert_eq!(
            weights(&world.get(istio::VIRTUAL_SERVICE, "simple-app").await),
            [100, 0]
        );
    }
}

//! The controller is killed at any moment of a release; the release ends as if nothing had happened.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Journal, Output, Traffic, until};

const STEP: Duration = Duration::from_secs(60);

#[test]
fn a_controller_killed_again_and_again_during_a_release_finishes_it_and_does_no_step_twice() {
    let cluster = Cluster::up();
    let events = cluster.canary_events();
    let users = Traffic::start(&cluster.app(), 2);
    cluster.set_image("1.0.1");
    for moment in [
        "Advance simple-app.default canary weight 10",
        "Advance simple-app.default canary weight 40",
        "Copying simple-app.default template spec to simple-app-primary.default",
    ] {
        wait_for(&events, moment);
        kill_controllers(&cluster);
    }
    wait_for(
        &events,
        "Promotion completed! Scaling down simple-app.default",
    );
    cluster.wait_for_phase(&["Succeeded"], STEP);
    let sample = users.stop();
    assert!(sample.failures.is_empty(), "{sample:?}");

    let lines = events.lines();
    for once in [
        "New revision detected!",
        "weight 10",
        "weight 20",
        "weight 30",
        "weight 40",
        "weight 50",
    ] {
        let times = lines.iter().filter(|line| line.contains(once)).count();
        assert_eq!(times, 1, "{once}: {lines:#?}");
    }
}

/// Longer than a step: another leader takes over only when the lease of the killed one is over.
fn wait_for(events: &Journal, line: &str) {
    events.wait_for(line, STEP * 2);
}

/// `kill -9` of every controller process of this cluster.
fn kill_controllers(cluster: &Cluster) {
    let running = || {
        let all = cluster.processes();
        all.into_iter()
            .filter(|(_, line)| line.contains("/usr/local/bin/canary-controller run"))
            .collect::<Vec<_>>()
    };
    let victims = until(STEP, "a controller that runs", || {
        let found = running();
        if found.is_empty() {
            Err("there is none".to_owned())
        } else {
            Ok(found)
        }
    });
    for (pid, _) in victims {
        // It may have ended by itself meanwhile.
        let _ = Output::of(Command::new("kill").args(["-KILL", &pid.to_string()]));
    }
}

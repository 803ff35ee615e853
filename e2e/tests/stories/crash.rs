//! The controller is killed during a release, and the release completes regardless.

use std::{process::Command, time::Duration};

use e2e::{Cluster, Journal, Output, Traffic, until};

const STEP: Duration = Duration::from_secs(60);

#[test]
fn a_repeatedly_killed_controller_completes_a_release_without_repeating_a_step() {
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

/// Waits longer than a step, as a new leader takes over only after the killed one's Lease has expired.
fn wait_for(events: &Journal, line: &str) {
    events.wait_for(line, STEP * 2);
}

/// Kills every controller process of this cluster with SIGKILL.
fn kill_controllers(cluster: &Cluster) {
    let running = || {
        let all = cluster.processes();
        all.into_iter()
            .filter(|(_, line)| line.contains("/usr/local/bin/canary-controller run"))
            .collect::<Vec<_>>()
    };
    let victims = until(STEP, "a running controller", || {
        let found = running();
        if found.is_empty() {
            Err("none is running".to_owned())
        } else {
            Ok(found)
        }
    });
    for (pid, _) in victims {
        // It may have exited in the meantime.
        let _ = Output::of(Command::new("kill").args(["-KILL", &pid.to_string()]));
    }
}

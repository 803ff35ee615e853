use localcluster_shared::process::Exit;
use serde_json::{Value, json};

use super::*;
use crate::pod::record::Ended;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn pod(spec: Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "app", "image": "app:1"}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": whole})).unwrap()
}

fn record(name: &str, state: State) -> Record {
    let container = Container {
        name: name.into(),
        image: Some("app:1".into()),
        ..Container::default()
    };
    let running = matches!(state, State::Running { .. });
    Record {
        state,
        started: running,
        ready: running,
        ..Record::new(&container, "ContainerCreating")
    }
}

fn waiting() -> State {
    State::Waiting {
        reason: "ContainerCreating",
        message: None,
    }
}

fn running() -> State {
    State::Running {
        since: now(),
        id: "localcluster://1".into(),
    }
}

fn ended(code: i32) -> State {
    State::Ended(Ended::new(
        Exit::Code(code),
        now(),
        now(),
        "localcluster://1".into(),
    ))
}

fn known(main: Vec<Record>) -> Known {
    Known {
        address: Some(Ipv4Addr::new(127, 9, 1, 1)),
        host: Ipv4Addr::new(127, 9, 0, 1),
        start_time: now(),
        init: Vec::new(),
        main,
        over: false,
        trouble: None,
    }
}

fn phase_of(policy: &str, states: Vec<State>) -> String {
    let main = states
        .into_iter()
        .enumerate()
        .map(|(i, state)| record(&format!("c{i}"), state))
        .collect();
    show(&pod(json!({"restartPolicy": policy})), &known(main), now())
        .phase
        .unwrap()
}

fn show(pod: &Pod, known: &Known, now: Timestamp) -> PodStatus {
    pod_status(pod, pod.status.as_ref(), known, now)
}

fn condition(status: &PodStatus, type_: &str) -> PodCondition {
    status
        .conditions
        .as_ref()
        .unwrap()
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
        .clone()
}

#[test]
fn the_phase_follows_the_containers_and_the_restart_policy() {
    for (policy, states, expected) in [
        ("Always", vec![waiting()], "Pending"),
        ("Always", vec![running(), waiting()], "Pending"),
        ("Always", vec![running()], "Running"),
        ("Always", vec![ended(1)], "Running"),
        ("Always", vec![ended(0)], "Running"),
        ("OnFailure", vec![ended(0), ended(0)], "Succeeded"),
        ("OnFailure", vec![ended(1)], "Running"),
        ("Never", vec![ended(0), ended(1)], "Failed"),
        ("Never", vec![ended(1), running()], "Running"),
        ("Never", vec![ended(0)], "Succeeded"),
    ] {
        assert_eq!(
            phase_of(policy, states.clone()),
            expected,
            "{policy} {states:?}"
        );
    }
}

#[test]
fn a_pod_stays_running_while_a_crashed_container_backs_off() {
    let mut crashed = record(
        "app",
        State::Waiting {
            reason: "CrashLoopBackOff",
            message: None,
        },
    );
    let State::Ended(last) = ended(1) else {
        unreachable!()
    };
    crashed.last = Some(last);
    let status = show(&pod(json!({})), &known(vec![crashed]), now());
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(
        condition(&status, "Ready").message.as_deref(),
        Some("containers with unready status: [app]")
    );
}

#[test]
fn init_containers_hold_the_pod_back() {
    let pod = pod(
        json!({"initContainers": [{"name": "setup", "image": "x"}, {"name": "proxy", "image": "x", "restartPolicy": "Always"}]}),
    );
    let mut known = known(vec![record("app", waiting())]);
    known.init = vec![record("setup", running()), record("proxy", waiting())];
    let status = show(&pod, &known, now());
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(
        condition(&status, "Initialized").message.as_deref(),
        Some("containers with incomplete status: [setup proxy]")
    );
    known.init = vec![record("setup", ended(0)), record("proxy", running())];
    known.main = vec![record("app", running())];
    let status = show(&pod, &known, now());
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(condition(&status, "Initialized").status, "True");
}

#[test]
fn transition_times_change_only_with_the_status() {
    let mut pod = pod(json!({}));
    let first = show(&pod, &known(vec![record("app", running())]), now());
    pod.status = Some(first.clone());
    let later = now() + jiff::SignedDuration::from_secs(60);
    assert_eq!(
        show(&pod, &known(vec![record("app", running())]), later),
        first
    );
    let second = show(&pod, &known(vec![record("app", ended(1))]), later);
    assert_eq!(
        condition(&second, "Ready").last_transition_time,
        Some(Time(later))
    );
    assert_eq!(
        condition(&second, "PodScheduled").last_transition_time,
        Some(Time(now()))
    );
}

#[test]
fn readiness_gates_hold_ready_back_and_foreign_conditions_are_preserved() {
    let mut pod = pod(json!({"readinessGates": [{"conditionType": "example.com/lb"}]}));
    let status = show(&pod, &known(vec![record("app", running())]), now());
    assert_eq!(
        (
            condition(&status, "ContainersReady").status,
            condition(&status, "Ready").status
        ),
        ("True".into(), "False".into())
    );
    pod.status = serde_json::from_value(
        json!({"conditions": [{"type": "example.com/lb", "status": "True"}]}),
    )
    .unwrap();
    let status = show(&pod, &known(vec![record("app", running())]), now());
    assert_eq!(condition(&status, "Ready").status, "True");
    assert_eq!(condition(&status, "example.com/lb").status, "True");
}

#[test]
fn quality_of_service_follows_requests_and_limits() {
    let with = |resources: Value| {
        qos_class(
            &pod(json!({"containers": [{"name": "app", "resources": resources}]}))
                .spec
                .unwrap(),
        )
    };
    assert_eq!(with(json!({})), "BestEffort");
    assert_eq!(with(json!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(
        with(json!({"limits": {"cpu": "1", "memory": "1Mi"}})),
        "Guaranteed"
    );
    assert_eq!(
        with(json!({"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "500m"}})),
        "Burstable"
    );
}

#[test]
fn the_status_of_a_running_pod() {
    insta::assert_json_snapshot!(show(
        &pod(json!({})),
        &known(vec![record("app", running())]),
        now()
    ));
}

#[test]
fn a_container_from_before_the_kubelets_start_counts_as_restarted() {
    let container = Container {
        name: "app".into(),
        ..Container::default()
    };
    let mut resumed = Record::new(&container, "ContainerCreating");
    let mut before = record("app", running());
    before.restarts = 2;
    resumed.resume(&before.to_status());
    assert_eq!(resumed.restarts, 3);
    let status = resumed.to_status();
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref()),
        (137, Some("ContainerStatusUnknown"))
    );
}

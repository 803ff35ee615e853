//! Computes the status of a pod from its containers' records. Pure.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Container, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::record::{Record, State};

/// Conditions owned by the kubelet. All others (readiness gates) are preserved.
const OWN: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// The kubelet's knowledge about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) host: Ipv4Addr,
    pub(crate) start_time: Timestamp,
    pub(crate) init: Vec<Record>,
    pub(crate) main: Vec<Record>,
    /// Whether all containers of a deleted pod have ended.
    pub(crate) over: bool,
    /// Reason and message of a failure of the whole pod, e.g. no free address.
    pub(crate) trouble: Option<(&'static str, String)>,
}

/// Computes the status. Transition times of unchanged conditions are taken from `before`.
pub(crate) fn pod_status(
    pod: &Pod,
    before: Option<&PodStatus>,
    known: &Known,
    now: Timestamp,
) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let phase = phase(&spec, known);
    let address = known.address.map(|address| address.to_string());
    PodStatus {
        phase: Some(phase.into()),
        conditions: Some(conditions(pod, before, known, phase, now)),
        reason: known.trouble.as_ref().map(|(reason, _)| (*reason).into()),
        message: known.trouble.as_ref().map(|(_, message)| message.clone()),
        host_ip: Some(known.host.to_string()),
        host_ips: Some(vec![HostIP {
            ip: known.host.to_string(),
        }]),
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        start_time: Some(Time(known.start_time)),
        qos_class: Some(qos_class(&spec).into()),
        init_container_statuses: statuses(&known.init),
        container_statuses: statuses(&known.main),
        ..PodStatus::default()
    }
}

fn statuses(records: &[Record]) -> Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>> {
    Some(records.iter().map(Record::to_status).collect::<Vec<_>>()).filter(|all| !all.is_empty())
}

/// Returns whether an init container is a sidecar (`restartPolicy: Always`).
pub(crate) fn is_sidecar(spec: &PodSpec, name: &str) -> bool {
    let container = spec
        .init_containers
        .iter()
        .flatten()
        .find(|container| container.name == name);
    container.and_then(|container| container.restart_policy.as_deref()) == Some("Always")
}

/// Returns whether an init container lets the next one start: it has completed, or is a started
/// sidecar.
fn is_initialized(spec: &PodSpec, record: &Record) -> bool {
    match &record.state {
        State::Ended(ended) => ended.exit_code == 0,
        _ => is_sidecar(spec, &record.name) && record.started,
    }
}

fn phase(spec: &PodSpec, known: &Known) -> &'static str {
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let failed =
        |record: &&Record| matches!(&record.state, State::Ended(ended) if ended.exit_code != 0);
    if known.trouble.is_some() {
        return "Failed";
    }
    if known.over {
        // Deleted: the final phase follows from the exit codes.
        let all_good = known
            .main
            .iter()
            .all(|record| matches!(&record.state, State::Ended(ended) if ended.exit_code == 0));
        return if all_good { "Succeeded" } else { "Failed" };
    }
    if let Some(init) = known
        .init
        .iter()
        .find(|record| !is_initialized(spec, record))
    {
        return if policy == "Never" && failed(&init) {
            "Failed"
        } else {
            "Pending"
        };
    }
    let never_ran =
        |record: &Record| matches!(record.state, State::Waiting { .. }) && record.last.is_none();
    if known.main.iter().any(never_ran) {
        return "Pending";
    }
    if known
        .main
        .iter()
        .any(|record| matches!(record.state, State::Running { .. }))
        || policy == "Always"
    {
        return "Running";
    }
    match (known.main.iter().any(|record| failed(&record)), policy) {
        _ if known
            .main
            .iter()
            .any(|record| matches!(record.state, State::Waiting { .. })) =>
        {
            "Running"
        }
        (false, _) => "Succeeded",
        (true, "Never") => "Failed",
        (true, _) => "Running",
    }
}

fn conditions(
    pod: &Pod,
    before: Option<&PodStatus>,
    known: &Known,
    phase: &str,
    now: Timestamp,
) -> Vec<PodCondition> {
    let spec = &pod.spec.clone().unwrap_or_default();
    let of = |status: Option<&PodStatus>| {
        status
            .and_then(|status| status.conditions.clone())
            .unwrap_or_default()
    };
    let (previous, stored) = (of(before), of(pod.status.as_ref()));
    let has_sandbox =
        known.address.is_some() && !known.over && !matches!(phase, "Succeeded" | "Failed");
    let initialized = not_in(
        known
            .init
            .iter()
            .filter(|record| !is_initialized(spec, record)),
    );
    let unready = not_in(known.main.iter().filter(|record| !record.ready));
    let containers_ready = match (phase, unready) {
        ("Succeeded", _) => Truth::no("PodCompleted", None),
        ("Failed", _) => Truth::no("PodFailed", None),
        (_, None) => Truth::YES,
        (_, Some(names)) => Truth::no(
            "ContainersNotReady",
            Some(format!("containers with unready status: {names}")),
        ),
    };
    let initialized = match (phase, initialized) {
        ("Succeeded", _) => Truth {
            reason: Some("PodCompleted"),
            ..Truth::YES
        },
        (_, None) => Truth::YES,
        (_, Some(names)) => Truth::no(
            "ContainersNotInitialized",
            Some(format!("containers with incomplete status: {names}")),
        ),
    };
    let gates = spec
        .readiness_gates
        .iter()
        .flatten()
        .map(|gate| gate.condition_type.as_str());
    let open = |type_: &&str| {
        !previous
            .iter()
            .any(|condition| condition.type_ == *type_ && condition.status == "True")
    };
    let missing: Vec<&str> = gates.filter(open).collect();
    let ready = if containers_ready.holds && !missing.is_empty() {
        Truth::no(
            "ReadinessGatesNotReady",
            Some(format!(
                "corresponding condition of pod readiness gate {missing:?} is not True."
            )),
        )
    } else {
        containers_ready.clone()
    };
    let sandbox = Truth {
        holds: has_sandbox,
        reason: None,
        message: None,
    };
    let mut conditions: Vec<PodCondition> =
        [sandbox, initialized, ready, containers_ready, Truth::YES]
            .into_iter()
            .zip(OWN)
            .map(|(truth, type_)| truth.condition(type_, &previous, now))
            .collect();
    conditions.extend(
        stored
            .into_iter()
            .filter(|condition| !OWN.contains(&condition.type_.as_str())),
    );
    conditions
}

/// Formats the names as `[a b]`; `None` if there are none.
fn not_in<'a>(records: impl Iterator<Item = &'a Record>) -> Option<String> {
    let names: Vec<&str> = records.map(|record| record.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("[{}]", names.join(" ")))
}

#[derive(Debug, Clone)]
struct Truth {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Truth {
    const YES: Self = Self {
        holds: true,
        reason: None,
        message: None,
    };

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self {
            holds: false,
            reason: Some(reason),
            message,
        }
    }

    /// Keeps the previous transition time if the status is unchanged.
    fn condition(self, type_: &str, previous: &[PodCondition], now: Timestamp) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let same = previous
            .iter()
            .find(|condition| condition.type_ == type_ && condition.status == status);
        PodCondition {
            type_: type_.into(),
            status: status.into(),
            reason: self.reason.map(Into::into),
            message: self.message,
            last_transition_time: same
                .and_then(|condition| condition.last_transition_time.clone())
                .or(Some(Time(now))),
            ..PodCondition::default()
        }
    }
}

/// Guaranteed: every container limits CPU and memory, with equal requests. BestEffort: no container
/// sets either. Burstable: everything else.
fn qos_class(spec: &PodSpec) -> &'static str {
    let containers: Vec<&Container> = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .collect();
    let counted = ["cpu", "memory"];
    let amounts = |container: &Container| {
        let resources = container.resources.clone().unwrap_or_default();
        let limits = resources.limits.unwrap_or_default();
        (resources.requests.unwrap_or_else(|| limits.clone()), limits)
    };
    let none = |container: &&Container| {
        let (requests, limits) = amounts(container);
        counted
            .iter()
            .all(|name| !requests.contains_key(*name) && !limits.contains_key(*name))
    };
    let all = |container: &&Container| {
        let (requests, limits) = amounts(container);
        counted.iter().all(|name| {
            limits
                .get(*name)
                .is_some_and(|limit| requests.get(*name).is_none_or(|r| r == limit))
        })
    };
    if containers.iter().all(none) {
        "BestEffort"
    } else if containers.iter().all(all) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests;

//! Services with a waypoint.
//!
//! The waypoint does not change the path of a request, because there is only one proxy. It changes the metrics: in
//! an ambient mesh the waypoint counts the requests, and requests to a Service without one are not counted as HTTP.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{Resource, ResourceExt};

use super::parents::{Parent, Role};
use crate::{
    model::{ServiceName, Snapshot},
    problem::{ObjectId, Problem, Reason, Report},
};

/// Label of a Service or its namespace: the name of the waypoint, or `none`. The Service takes precedence.
const USE: &str = "istio.io/use-waypoint";
/// Companion label of [`USE`]: the namespace of the waypoint.
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// Label of a waypoint: `service` (the default), `workload`, `all` or `none`.
const FOR: &str = "istio.io/waypoint-for";

/// The Services that have a waypoint. Reports labels that name a missing one.
pub(super) fn users(
    snapshot: &Snapshot,
    parents: &BTreeMap<String, Parent<'_>>,
    problems: &mut BTreeSet<Problem>,
) -> BTreeSet<ServiceName> {
    let namespaces: BTreeMap<String, &Namespace> = snapshot
        .namespaces
        .iter()
        .map(|namespace| (namespace.name_any(), &**namespace))
        .collect();
    let mut users = BTreeSet::new();
    for service in &snapshot.services {
        let name = ServiceName {
            namespace: service.namespace().unwrap_or_default(),
            name: service.name_any(),
        };
        let used = match selected::<Service>(service, &name.namespace) {
            Some(selected) => selected.resolve(parents, problems),
            None => namespaces
                .get(&name.namespace)
                .and_then(|namespace| selected(*namespace, &name.namespace))
                .is_some_and(|selected| selected.resolve(parents, problems)),
        };
        if used {
            users.insert(name);
        }
    }
    users
}

/// The waypoint that an object selects by its labels.
struct Selected {
    object: ObjectId,
    /// `namespace/name` of the waypoint. `None` if the label is `none`.
    waypoint: Option<String>,
}

fn selected<K: Resource<DynamicType = ()>>(object: &K, namespace: &str) -> Option<Selected> {
    let name = object.labels().get(USE)?;
    let namespace = object
        .labels()
        .get(USE_NAMESPACE)
        .map_or(namespace, String::as_str);
    Some(Selected {
        object: ObjectId::of(object),
        waypoint: (name != "none").then(|| format!("{namespace}/{name}")),
    })
}

impl Selected {
    /// True if the waypoint exists and handles Services. Reports a missing one.
    fn resolve(
        self,
        parents: &BTreeMap<String, Parent<'_>>,
        problems: &mut BTreeSet<Problem>,
    ) -> bool {
        let Some(name) = self.waypoint else {
            return false;
        };
        let waypoint = parents
            .get(&name)
            .filter(|parent| parent.role == Role::Waypoint)
            .map(|parent| parent.object);
        let Some(waypoint) = waypoint else {
            let mut report = Report::new(self.object);
            let message = format!("Gateway {name} of class istio-waypoint does not exist");
            report.note(
                Reason::Unresolved,
                format!("metadata.labels[{USE}]"),
                message,
            );
            problems.extend(report.into_problems());
            return false;
        };
        let purpose = waypoint.labels().get(FOR).map(String::as_str);
        matches!(purpose, None | Some("service" | "all"))
    }
}

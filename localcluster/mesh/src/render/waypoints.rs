//! Services whose requests go through a waypoint.
//!
//! There is one proxy, so it makes no difference to the way a request takes. It makes one to who
//! tells about it: in an ambient mesh requests are counted by the waypoint, and those to a Service without
//! one are not counted as HTTP at all.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{Resource, ResourceExt};

use super::parents::{Parent, Role};
use crate::{
    model::{ServiceName, Snapshot},
    problem::{ObjectId, Problem, Reason, Report},
};

/// Label of a Service, or else of its namespace: the name of the waypoint, or `none`.
const USE: &str = "istio.io/use-waypoint";
/// Label beside [`USE`]: the waypoint's namespace.
const USE_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// Label of a waypoint: `service` (the default), `workload`, `all` or `none`.
const FOR: &str = "istio.io/waypoint-for";

/// Services that have a waypoint. A label that names none is told.
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
        let used = match asked::<Service>(service, &name.namespace) {
            Some(asked) => asked.look(parents, problems),
            None => namespaces
                .get(&name.namespace)
                .and_then(|namespace| asked(*namespace, &name.namespace))
                .is_some_and(|asked| asked.look(parents, problems)),
        };
        if used {
            users.insert(name);
        }
    }
    users
}

/// What a label asks for.
struct Asked {
    object: ObjectId,
    /// `namespace/name` of the waypoint; `None` for none at all.
    waypoint: Option<String>,
}

fn asked<K: Resource<DynamicType = ()>>(object: &K, namespace: &str) -> Option<Asked> {
    let name = object.labels().get(USE)?;
    let namespace = object
        .labels()
        .get(USE_NAMESPACE)
        .map_or(namespace, String::as_str);
    Some(Asked {
        object: ObjectId::of(object),
        waypoint: (name != "none").then(|| format!("{namespace}/{name}")),
    })
}

impl Asked {
    fn look(
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
            let message = format!("there is no Gateway {name} of class istio-waypoint");
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

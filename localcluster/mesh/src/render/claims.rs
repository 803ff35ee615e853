//! Who claims which host with which routes, the oldest first.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    attach::Group,
    inputs::{Hosts, Target},
    routes::Scope,
};
use crate::{
    compile::{MESH, Route, Routes},
    model::ServiceName,
    problem::{ObjectId, Problem, Reason, Report},
};

/// Routes that claim a host.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    /// The older of two claims has the host.
    created: Option<jiff::Timestamp>,
    /// Whose it is.
    pub(super) owner: &'a ObjectId,
    /// The host, for people.
    pub(super) host: String,
    /// The Service of that name, whether it exists or not.
    pub(super) service: Option<ServiceName>,
    pub(super) targets: Vec<Target>,
    pub(super) routes: &'a [Route],
    /// Gateways the request came through; `mesh` for none.
    pub(super) gateways: Vec<String>,
    /// Ports of those gateways; none for the port of each target.
    pub(super) ports: Vec<u16>,
    /// A target that none of the routes is for is left to others.
    pub(super) may_be_empty: bool,
    /// Objects and fields that are told of a conflict.
    told: Vec<(ObjectId, String)>,
}

impl Claim<'_> {
    /// Where the claim's routes apply, for one of its targets.
    pub(super) fn scope(&self, target: Option<u16>) -> Scope {
        Scope {
            gateways: self.gateways.clone(),
            ports: match &self.ports[..] {
                [] => vec![target.unwrap_or(80)],
                ports => ports.to_vec(),
            },
        }
    }

    /// Tell that `owners` had the host before. An object does not conflict with itself: it may name a host
    /// twice, or come in through two gateways.
    pub(super) fn report(&self, owners: &BTreeSet<String>, problems: &mut BTreeSet<Problem>) {
        let host = &self.host;
        for (object, field) in &self.told {
            let name = object.to_string();
            let others: Vec<&str> = owners
                .iter()
                .map(String::as_str)
                .filter(|owner| *owner != name)
                .collect();
            if others.is_empty() {
                continue;
            }
            let owners = others.join(", ");
            let mut report = Report::new(object.clone());
            report.note(
                Reason::Conflict,
                field,
                format!("{host} is already routed by the older {owners}, which stays in force"),
            );
            problems.extend(report.into_problems());
        }
    }

    fn sort(mut claims: Vec<Self>) -> Vec<Self> {
        // Stable: the hosts of one object stay in its order.
        claims.sort_by(|a, b| {
            let age = |claim: &Self| {
                (
                    claim.created,
                    claim.owner.namespace.clone(),
                    claim.owner.name.clone(),
                )
            };
            age(a).cmp(&age(b))
        });
        claims
    }
}

impl<'a> Hosts<'a> {
    /// Claims on requests between pods.
    pub(super) fn mesh_claims(&self) -> Vec<Claim<'a>> {
        let mut claims = Vec::new();
        // An object with TCP routes alone leaves HTTP as it is.
        let virtual_services = self.compiled.iter().filter(|routes| {
            !routes.routes.is_empty() && routes.gateways.iter().any(|name| name == MESH)
        });
        for routes in virtual_services {
            for (index, host) in routes.hosts.iter().enumerate() {
                let namespace = &routes.object.namespace;
                claims.push(Claim {
                    service: ServiceName::parse(host, namespace),
                    targets: self.targets(host, namespace),
                    gateways: vec![MESH.into()],
                    ..Claim::of(routes, index, host.clone())
                });
            }
        }
        for (name, group) in &self.attached.services {
            claims.push(Claim {
                service: Some(name.clone()),
                targets: self.service_targets(name),
                gateways: vec![MESH.into()],
                may_be_empty: true,
                ..Claim::of_group(group, name.to_string())
            });
        }
        Claim::sort(claims)
    }

    /// Claims on requests from outside.
    pub(super) fn ingress_claims(&self, problems: &mut BTreeSet<Problem>) -> Vec<Claim<'a>> {
        let mut claims = Vec::new();
        for routes in self.compiled {
            for (host, (index, scope)) in self.let_in(routes, problems) {
                claims.push(Claim {
                    targets: self.targets(&host, &routes.object.namespace),
                    gateways: scope.gateways,
                    ports: scope.ports,
                    ..Claim::of(routes, index, host)
                });
            }
        }
        for ((_, host), group) in &self.attached.hosts {
            claims.push(Claim {
                targets: self.literal_target(host),
                ..Claim::of_group(group, host.clone())
            });
        }
        Claim::sort(claims)
    }

    /// Hosts of a `VirtualService` that its gateways let in, with the index of the host in the object.
    fn let_in(
        &self,
        routes: &Routes,
        problems: &mut BTreeSet<Problem>,
    ) -> BTreeMap<String, (usize, Scope)> {
        let namespace = &routes.object.namespace;
        let mut bound: BTreeMap<String, (usize, Scope)> = BTreeMap::new();
        let mut report = Report::new(routes.object.clone());
        for name in routes.gateways.iter().filter(|name| *name != MESH) {
            let Some(entrance) = self.gateways.get(name) else {
                let message = format!("there is no Gateway {name}");
                report.note(Reason::Unresolved, "spec.gateways", message);
                continue;
            };
            let mut admitted_any = false;
            for (index, host) in routes.hosts.iter().enumerate() {
                for admitted in entrance.admit(host, namespace) {
                    admitted_any = true;
                    let (_, scope) = bound
                        .entry(admitted)
                        .or_insert_with(|| (index, Scope::default()));
                    scope.gateways.push(name.clone());
                    scope.ports.extend(&entrance.ports);
                }
            }
            if !admitted_any {
                let message = format!("Gateway {name} lets none of the hosts in");
                report.note(Reason::Unresolved, "spec.hosts", message);
            }
        }
        problems.extend(report.into_problems());
        bound
    }
}

impl<'a> Claim<'a> {
    fn of(routes: &'a Routes, host_index: usize, host: String) -> Self {
        Self {
            created: routes.created,
            owner: &routes.object,
            host,
            service: None,
            targets: Vec::new(),
            routes: &routes.routes,
            gateways: Vec::new(),
            ports: Vec::new(),
            may_be_empty: false,
            told: vec![(routes.object.clone(), format!("spec.hosts[{host_index}]"))],
        }
    }

    fn of_group(group: &'a Group, host: String) -> Self {
        Self {
            created: group.created,
            owner: &group.oldest,
            host,
            service: None,
            targets: Vec::new(),
            routes: &group.routes,
            gateways: Vec::new(),
            ports: Vec::new(),
            may_be_empty: false,
            told: group.members.clone(),
        }
    }
}

//! Claims: the hosts that each object routes, the oldest object first.

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

/// A host and the routes that an object, or a group of them, has for it.
#[derive(Clone, Debug)]
pub(super) struct Claim<'a> {
    /// Creation time of the owner. Of two claims for a host the older one wins.
    created: Option<jiff::Timestamp>,
    /// The object that claims the host.
    pub(super) owner: &'a ObjectId,
    /// The host as messages show it.
    pub(super) host: String,
    /// The Service with that name, even if it does not exist.
    pub(super) service: Option<ServiceName>,
    pub(super) targets: Vec<Target>,
    pub(super) routes: &'a [Route],
    /// Gateways that the requests come through. `mesh` stands for requests between pods.
    pub(super) gateways: Vec<String>,
    /// Ports of those gateways. Empty for the port of each target.
    pub(super) ports: Vec<u16>,
    /// If true, a target without any route is left to other claims.
    pub(super) may_be_empty: bool,
    /// Objects and fields on which a conflict is reported.
    claimants: Vec<(ObjectId, String)>,
}

impl Claim<'_> {
    /// The scope of the claim's routes for one of its targets.
    pub(super) fn scope(&self, target: Option<u16>) -> Scope {
        Scope {
            gateways: self.gateways.clone(),
            ports: match &self.ports[..] {
                [] => vec![target.unwrap_or(80)],
                ports => ports.to_vec(),
            },
        }
    }

    /// Reports a conflict with the older `owners` of the host. An object does not conflict with itself: it may name a
    /// host twice or use two gateways.
    pub(super) fn report(&self, owners: &BTreeSet<String>, problems: &mut BTreeSet<Problem>) {
        let host = &self.host;
        for (object, field) in &self.claimants {
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
                format!("{host} is already routed by the older {owners}, which stays in effect"),
            );
            problems.extend(report.into_problems());
        }
    }

    fn sort(mut claims: Vec<Self>) -> Vec<Self> {
        // The sort is stable: the hosts of one object keep their order.
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
    /// The claims on requests between pods.
    pub(super) fn mesh_claims(&self) -> Vec<Claim<'a>> {
        let mut claims = Vec::new();
        // An object with only TCP routes does not affect HTTP.
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

    /// The claims on requests from outside.
    pub(super) fn ingress_claims(&self, problems: &mut BTreeSet<Problem>) -> Vec<Claim<'a>> {
        let mut claims = Vec::new();
        for routes in self.compiled {
            for (host, (index, scope)) in self.admitted_hosts(routes, problems) {
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

    /// The hosts of a `VirtualService` that its gateways admit, with the index of the host in the object.
    fn admitted_hosts(
        &self,
        routes: &Routes,
        problems: &mut BTreeSet<Problem>,
    ) -> BTreeMap<String, (usize, Scope)> {
        let namespace = &routes.object.namespace;
        let mut bound: BTreeMap<String, (usize, Scope)> = BTreeMap::new();
        let mut report = Report::new(routes.object.clone());
        for name in routes.gateways.iter().filter(|name| *name != MESH) {
            let Some(entrance) = self.gateways.get(name) else {
                let message = format!("Gateway {name} does not exist");
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
                let message = format!("Gateway {name} admits none of the hosts");
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
            claimants: vec![(routes.object.clone(), format!("spec.hosts[{host_index}]"))],
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
            claimants: group.members.clone(),
        }
    }
}

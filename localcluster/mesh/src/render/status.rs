//! The status of Gateway API objects, as Istio writes it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Settings,
    attach::{self, Attached, Lookup},
    parents::{Entry, Parent, Role, role},
    routes::Resolver,
    verdict::Verdict,
};
use crate::{
    compile::{Action, HttpRoutes, Refusal},
    gateway_api::{HTTPRoute, ParentReference, RouteGroupKind},
    istio::Destination,
    model::Snapshot,
    problem::{ObjectId, Problem, Reason},
};

/// The status of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Of an `HTTPRoute`: one entry per parent that this mesh serves.
    Route(Vec<(ParentReference, Vec<Verdict>)>),
    /// Of a `Gateway`.
    Gateway {
        /// IP address.
        address: Option<String>,
        /// Its conditions.
        conditions: Vec<Verdict>,
        /// Its listeners.
        listeners: Vec<ListenerState>,
    },
    /// Of a `GatewayClass`.
    Class(Vec<Verdict>),
}

/// Status of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerState {
    /// Its name.
    pub name: String,
    /// The kinds of routes that it accepts.
    pub kinds: Vec<RouteGroupKind>,
    /// Number of attached routes.
    pub attached: usize,
    /// Its conditions.
    pub conditions: Vec<Verdict>,
}

/// The inputs of the statuses.
pub(super) struct Sources<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) settings: &'a Settings,
    /// The versions in effect.
    pub(super) compiled: &'a [HttpRoutes],
    pub(super) attached: &'a Attached,
    pub(super) lookup: Lookup<'a>,
    pub(super) resolver: Resolver<'a>,
    /// All problems found so far.
    pub(super) problems: &'a BTreeSet<Problem>,
}

impl Sources<'_> {
    /// The status of every object that this mesh handles.
    pub(super) fn statuses(&self) -> BTreeMap<ObjectId, Status> {
        let routes = self.snapshot.http_routes.iter();
        let routes = routes.map(|route| (ObjectId::of(&**route), self.route(route)));
        let gateways = self.lookup.parents.iter();
        let gateways = gateways
            .map(|(name, parent)| (ObjectId::of(parent.object), self.gateway(name, parent)));
        let classes = self.snapshot.gateway_classes.iter();
        let classes = classes
            .filter(|class| {
                let name = kube::ResourceExt::name_any(&***class);
                role(&name, &self.snapshot.gateway_classes).is_some()
            })
            .map(|class| {
                let handled = Verdict::yes("Accepted", "Accepted", "Handled by Istio controller");
                (ObjectId::of(&**class), Status::Class(vec![handled]))
            });
        routes.chain(gateways).chain(classes).collect()
    }

    fn route(&self, object: &HTTPRoute) -> Status {
        let id = ObjectId::of(object);
        let used = self.compiled.iter().find(|routes| routes.object == id);
        let mut parents = Vec::new();
        for (index, parent) in object.spec.parent_refs.iter().enumerate() {
            if !self.lookup.is_own(parent, &id.namespace) {
                continue;
            }
            let verdicts = match used {
                Some(routes) => vec![self.accepted(&id, index), self.references(routes)],
                None => vec![self.not_accepted(&id)],
            };
            parents.push((parent.clone(), verdicts));
        }
        Status::Route(parents)
    }

    fn accepted(&self, id: &ObjectId, index: usize) -> Verdict {
        let field = attach::field(index);
        let conflict = self.problems.iter().find(|problem| {
            problem.reason == Reason::Conflict && problem.object == *id && problem.field == field
        });
        if let Some(conflict) = conflict {
            return Verdict::no("Accepted", "Conflicted", &conflict.message);
        }
        let verdict = self.attached.verdicts.get(&(id.clone(), field));
        verdict.cloned().unwrap_or_else(|| {
            Verdict::new("Accepted", "Unknown", "Pending", "Waiting for controller")
        })
    }

    /// The reason why the newest version is not in effect.
    fn not_accepted(&self, id: &ObjectId) -> Verdict {
        let wrong = |problem: &&Problem| {
            problem.object == *id && matches!(problem.reason, Reason::Invalid | Reason::Rejected)
        };
        let message = match self.problems.iter().find(wrong) {
            Some(problem) => format!("{}: {}", problem.field, problem.message),
            None => "the route cannot be parsed".into(),
        };
        Verdict::no("Accepted", "UnsupportedValue", message)
    }

    fn references(&self, routes: &HttpRoutes) -> Verdict {
        let namespace = &routes.object.namespace;
        let wrong = |destination: &Destination, refused: Option<&Refusal>| match refused {
            Some(refusal) => Some((refusal.reason, refusal.message.clone())),
            None => match self.resolver.resolve(destination, namespace, &[]) {
                Ok(_) => None,
                Err((_, why)) => Some(("BackendNotFound", why)),
            },
        };
        for ranked in &routes.routes {
            let Action::Forward(forward) = &ranked.route.action else {
                continue;
            };
            let shares = forward.destinations.iter();
            let shares = shares.map(|it| (&it.field, &it.destination, it.refused.as_ref()));
            let copies = forward.mirrors.iter();
            let copies = copies.map(|it| (&it.field, &it.destination, it.refused.as_ref()));
            for (field, destination, refused) in shares.chain(copies) {
                if let Some((reason, why)) = wrong(destination, refused) {
                    return Verdict::no("ResolvedRefs", reason, format!("{field}: {why}"));
                }
            }
        }
        Verdict::yes("ResolvedRefs", "ResolvedRefs", "All references resolved")
    }

    fn gateway(&self, name: &str, parent: &Parent<'_>) -> Status {
        let faulty = |entry: &&Entry<'_>| {
            let fault = entry.fault.as_ref();
            fault.is_some_and(|fault| fault.kind == "Accepted")
        };
        let (bad, all) = (
            parent.listeners.iter().filter(faulty).count(),
            parent.listeners.len(),
        );
        let accepted = match bad {
            0 => Verdict::yes("Accepted", "Accepted", "Resource accepted"),
            _ => Verdict::new(
                "Accepted",
                if bad < all { "True" } else { "False" },
                "ListenersNotValid",
                format!("{bad} of {all} listeners are not valid; see status.listeners"),
            ),
        };
        let address = match parent.role {
            Role::Ingress => self.settings.ingress,
            Role::Waypoint => Some(self.settings.proxy),
        };
        let programmed = match (address, parent.role) {
            _ if bad == all => Verdict::no("Programmed", "Invalid", "no listener is valid"),
            (None, _) => {
                let message = "the mesh was started without an ingress";
                Verdict::no("Programmed", "AddressNotAssigned", message)
            }
            (Some(address), Role::Ingress) => Verdict::yes(
                "Programmed",
                "Programmed",
                format!("Resource programmed; http://{address}/ serves the ports of all listeners"),
            ),
            (Some(_), Role::Waypoint) => Verdict::yes(
                "Programmed",
                "Programmed",
                "Resource programmed; the proxy of the mesh serves as the waypoint",
            ),
        };
        let listeners = parent.listeners.iter();
        let listeners = listeners.map(|entry| self.listener(name, entry)).collect();
        Status::Gateway {
            address: address.map(|address| address.ip().to_string()),
            conditions: vec![accepted, programmed],
            listeners,
        }
    }

    fn listener(&self, gateway: &str, entry: &Entry<'_>) -> ListenerState {
        let name = entry.listener.name.clone();
        let fault = |kind| entry.fault.clone().filter(|fault| fault.kind == kind);
        let fine = |kind| Verdict::yes(kind, kind, "No errors found");
        let accepted = fault("Accepted").unwrap_or_else(|| fine("Accepted"));
        let programmed = match accepted.status {
            "True" => fine("Programmed"),
            _ => Verdict::no("Programmed", "Invalid", &accepted.message),
        };
        let conflicted = Verdict::no("Conflicted", "NoConflicts", "No errors found");
        let resolved = fault("ResolvedRefs").unwrap_or_else(|| fine("ResolvedRefs"));
        let attached = self
            .attached
            .counts
            .get(&(gateway.to_owned(), name.clone()));
        ListenerState {
            attached: attached.map_or(0, BTreeSet::len),
            kinds: entry.kinds.clone(),
            conditions: vec![accepted, conflicted, programmed, resolved],
            name,
        }
    }
}

//! Attaches `HTTPRoute`s to Services and Gateways.
//!
//! Routes of several objects for the same host are merged in the order of the Gateway API: by precedence of the
//! match, then by age of the object, then by its name, then by position.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;

use super::{gateways::narrower, parents::Parent, verdict::Verdict};
use crate::{
    compile::{HttpRoutes, Ranked, Route},
    gateway_api::{GROUP, ParentReference},
    model::{ServiceName, Services},
    problem::{ObjectId, Problem, Reason, Report},
};

/// Routes for one Service or host.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The oldest object.
    pub(super) oldest: ObjectId,
    /// Its creation time.
    pub(super) created: Option<jiff::Timestamp>,
    /// The objects and the fields that attach them.
    pub(super) members: Vec<(ObjectId, String)>,
    /// The routes in order of precedence.
    pub(super) routes: Vec<Route>,
    ranked: Vec<Ranked>,
}

/// The result of [`attach`].
#[derive(Clone, Debug, Default)]
pub(super) struct Attached {
    /// Routes for requests between pods.
    pub(super) services: BTreeMap<ServiceName, Group>,
    /// Routes for requests from outside, by Gateway (`namespace/name`) and host.
    pub(super) hosts: BTreeMap<(String, String), Group>,
    /// The condition `Accepted` of each parent of each object, by object and field of the parent.
    pub(super) verdicts: BTreeMap<(ObjectId, String), Verdict>,
    /// The objects attached to each listener, by Gateway and name of the listener.
    pub(super) counts: BTreeMap<(String, String), BTreeSet<ObjectId>>,
}

/// The objects that a parent reference can name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'a> {
    pub(super) services: &'a Services,
    pub(super) parents: &'a BTreeMap<String, Parent<'a>>,
    pub(super) namespaces: &'a [Arc<Namespace>],
}

/// Path of the parent reference at `index`.
pub(super) fn field(index: usize) -> String {
    format!("spec.parentRefs[{index}]")
}

/// Attaches all objects. `compiled` starts with the oldest.
pub(super) fn attach(
    compiled: &[HttpRoutes],
    lookup: Lookup<'_>,
    problems: &mut BTreeSet<Problem>,
) -> Attached {
    let mut attached = Attached::default();
    for routes in compiled {
        let mut report = Report::new(routes.object.clone());
        for (index, parent) in routes.parents.iter().enumerate() {
            let field = field(index);
            let verdict = match lookup.place(parent, routes, &field, &mut report) {
                None => continue,
                Some(Ok(place)) => {
                    attached.add(routes, &field, place);
                    Verdict::yes("Accepted", "Accepted", "Route was valid")
                }
                Some(Err(verdict)) => verdict,
            };
            attached
                .verdicts
                .insert((routes.object.clone(), field), verdict);
        }
        problems.extend(report.into_problems());
    }
    let groups = attached
        .services
        .values_mut()
        .chain(attached.hosts.values_mut());
    for group in groups {
        // The sort is stable: routes of equal precedence stay ordered by age, name and rule.
        group.ranked.sort_by(|a, b| a.precedence.cmp(&b.precedence));
        let ranked = std::mem::take(&mut group.ranked);
        group.routes = ranked.into_iter().map(|ranked| ranked.route).collect();
    }
    attached
}

/// The place that an object attaches to.
enum Place {
    Service(ServiceName, Option<u16>),
    Hosts {
        gateway: String,
        listeners: BTreeSet<String>,
        hosts: BTreeSet<String>,
    },
}

impl Attached {
    fn add(&mut self, routes: &HttpRoutes, field: &str, place: Place) {
        match place {
            Place::Service(name, port) => {
                let group = self.services.entry(name);
                group
                    .or_insert_with(|| Group::new(routes))
                    .add(routes, field, port);
            }
            Place::Hosts {
                gateway,
                listeners,
                hosts,
            } => {
                for listener in listeners {
                    let count = self.counts.entry((gateway.clone(), listener));
                    count.or_default().insert(routes.object.clone());
                }
                for host in hosts {
                    let group = self.hosts.entry((gateway.clone(), host));
                    group
                        .or_insert_with(|| Group::new(routes))
                        .add(routes, field, None);
                }
            }
        }
    }
}

impl Group {
    fn new(oldest: &HttpRoutes) -> Self {
        Self {
            oldest: oldest.object.clone(),
            created: oldest.created,
            members: Vec::new(),
            routes: Vec::new(),
            ranked: Vec::new(),
        }
    }

    fn add(&mut self, routes: &HttpRoutes, field: &str, port: Option<u16>) {
        let member = (routes.object.clone(), field.to_owned());
        if self.members.contains(&member) {
            return;
        }
        self.members.push(member);
        self.ranked
            .extend(routes.routes.iter().cloned().map(|mut ranked| {
                for condition in &mut ranked.route.matches {
                    condition.port = port;
                }
                ranked
            }));
    }
}

impl Lookup<'_> {
    /// The place that `parent` attaches `routes` to, or the reason why it does not attach. `None` if another controller
    /// handles the parent.
    fn place(
        &self,
        parent: &ParentReference,
        routes: &HttpRoutes,
        field: &str,
        report: &mut Report,
    ) -> Option<Result<Place, Verdict>> {
        match (parent.group.as_str(), parent.kind.as_str()) {
            ("", "Service") => Some(self.service(parent, routes, field, report)),
            (GROUP, "Gateway") => self.gateway(parent, routes, field, report),
            (_, kind) => {
                let message =
                    format!("a route can attach to a Gateway or a Service here, not to a {kind}");
                report.unsupported(field, message);
                None
            }
        }
    }

    fn service(
        &self,
        parent: &ParentReference,
        routes: &HttpRoutes,
        field: &str,
        report: &mut Report,
    ) -> Result<Place, Verdict> {
        let own = &routes.object.namespace;
        let name = ServiceName {
            namespace: parent.namespace.as_ref().unwrap_or(own).clone(),
            name: parent.name.clone(),
        };
        if name.namespace != *own {
            let message = format!(
                "a route cannot apply to requests from one namespace only, because one proxy serves all pods; move the route to namespace {}",
                name.namespace
            );
            report.unsupported(field, &message);
            return Err(Verdict::no("Accepted", "NotAllowedByListeners", message));
        }
        let mut unresolved = |message: String| {
            report.note(Reason::Unresolved, field, &message);
            Err(Verdict::no("Accepted", "NoMatchingParent", message))
        };
        let Some(service) = self.services.get(&name) else {
            return unresolved(format!("Service {name} does not exist"));
        };
        let mut port = parent.port;
        if let Some(section) = &parent.section_name {
            let named = service.ports.iter().find(|port| port.name == *section);
            match named.filter(|named| port.is_none_or(|port| port == named.number)) {
                Some(named) => port = Some(named.number),
                None => return unresolved(format!("Service {name} has no port named {section:?}")),
            }
        }
        match port.filter(|port| service.port(*port).is_none()) {
            Some(missing) => unresolved(format!("Service {name} has no port {missing}")),
            None => Ok(Place::Service(name, port)),
        }
    }

    fn gateway(
        &self,
        parent: &ParentReference,
        routes: &HttpRoutes,
        field: &str,
        report: &mut Report,
    ) -> Option<Result<Place, Verdict>> {
        let from = &routes.object.namespace;
        let namespace = parent.namespace.as_ref().unwrap_or(from);
        let name = format!("{namespace}/{}", parent.name);
        let Some(gateway) = self.parents.get(&name) else {
            let message = format!("Gateway {name} of class istio does not exist");
            report.note(Reason::Unresolved, field, message);
            return None;
        };
        let mut no = |reason, message: String| {
            report.note(Reason::Unresolved, field, &message);
            Some(Err(Verdict::no("Accepted", reason, message)))
        };
        let section = parent.section_name.as_deref();
        let mut entries: Vec<_> = gateway
            .listeners
            .iter()
            .filter(|entry| section.is_none_or(|name| entry.listener.name == name))
            .filter(|entry| parent.port.is_none_or(|port| entry.listener.port == port))
            .collect();
        if entries.is_empty() {
            let names: Vec<_> = gateway
                .listeners
                .iter()
                .map(|entry| entry.listener.name.as_str())
                .collect();
            let message = format!(
                "Gateway {name} has no listener with this name and port; it has {}",
                names.join(", ")
            );
            return no("NoMatchingParent", message);
        }
        if entries.iter().all(|entry| entry.kinds.is_empty()) {
            let message =
                format!("no such listener of Gateway {name} accepts HTTPRoutes; see its status");
            return no("NotAllowedByListeners", message);
        }
        entries.retain(|entry| entry.allows(from, gateway.object, self.namespaces));
        if entries.is_empty() {
            let message = format!(
                "no listener of Gateway {name} accepts HTTPRoutes of namespace {from}; see its allowedRoutes"
            );
            return no("NotAllowedByListeners", message);
        }
        let any = ["*".to_owned()];
        let hostnames = if routes.hostnames.is_empty() {
            &any[..]
        } else {
            &routes.hostnames
        };
        let (mut hosts, mut listeners) = (BTreeSet::new(), BTreeSet::new());
        for entry in entries {
            let allowed = entry
                .listener
                .hostname
                .as_deref()
                .unwrap_or("*")
                .to_ascii_lowercase();
            let admitted: Vec<String> = hostnames
                .iter()
                .filter_map(|host| narrower(&allowed, host))
                .collect();
            if !admitted.is_empty() {
                listeners.insert(entry.listener.name.clone());
                hosts.extend(admitted);
            }
        }
        if hosts.is_empty() {
            let message = format!("no listener of Gateway {name} matches any of the hostnames");
            return no("NoMatchingListenerHostname", message);
        }
        Some(Ok(Place::Hosts {
            gateway: format!("{namespace}/{}", gateway.object.name_any()),
            listeners,
            hosts,
        }))
    }

    /// True if this mesh writes the status for this parent.
    pub(super) fn is_own(&self, parent: &ParentReference, namespace: &str) -> bool {
        match (parent.group.as_str(), parent.kind.as_str()) {
            ("", "Service") => true,
            (GROUP, "Gateway") => {
                let namespace = parent.namespace.as_deref().unwrap_or(namespace);
                self.parents
                    .contains_key(&format!("{namespace}/{}", parent.name))
            }
            _ => false,
        }
    }
}

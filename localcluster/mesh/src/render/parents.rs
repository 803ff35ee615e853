//! `Gateway`s of the Gateway API: which of them are served here, and which routes their listeners take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};

use super::verdict::Verdict;
use crate::{
    gateway_api::{
        FromNamespaces, GATEWAY_CONTROLLER, GROUP, Gateway, GatewayClass, Listener,
        MESH_CONTROLLER, RouteGroupKind,
    },
    model::Snapshot,
    problem::{ObjectId, Problem, Reason, Report},
};

/// Classes that exist wherever Istio does.
pub(crate) const CLASSES: [Class; 2] = [
    Class {
        name: "istio",
        controller: GATEWAY_CONTROLLER,
        description: "Ways in from outside, served by the ingress",
    },
    Class {
        name: "istio-waypoint",
        controller: MESH_CONTROLLER,
        description: "Waypoints, all of them the one proxy of the mesh",
    },
];

/// A class, as it is made when it is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) controller: &'static str,
    pub(crate) description: &'static str,
}

/// What a `Gateway` is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A way in from outside.
    Ingress,
    /// The proxy between pods. There is one for all of them, so it opens nothing.
    Waypoint,
}

/// The role of the gateways of class `name`; `None` when another controller sees to them.
pub(super) fn role(name: &str, classes: &[Arc<GatewayClass>]) -> Option<Role> {
    let class = classes.iter().find(|class| class.name_any() == name);
    let built_in = CLASSES.iter().find(|class| class.name == name);
    let controller = class
        .map(|class| class.spec.controller_name.as_str())
        .or(built_in.map(|class| class.controller))?;
    match controller {
        GATEWAY_CONTROLLER => Some(Role::Ingress),
        MESH_CONTROLLER => Some(Role::Waypoint),
        _ => None,
    }
}

/// A `Gateway` that is served here.
#[derive(Clone, Debug)]
pub(super) struct Parent<'a> {
    pub(super) object: &'a Gateway,
    pub(super) role: Role,
    pub(super) listeners: Vec<Entry<'a>>,
}

/// A listener of a [`Parent`].
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) listener: &'a Listener,
    /// Kinds of routes it takes.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// What is wrong with it.
    pub(super) fault: Option<Verdict>,
}

impl Entry<'_> {
    /// Whether `HTTPRoute`s of namespace `from` may attach to a listener of `gateway`.
    pub(super) fn allows(
        &self,
        from: &str,
        gateway: &Gateway,
        namespaces: &[Arc<Namespace>],
    ) -> bool {
        if self.kinds.is_empty() {
            return false;
        }
        let allowed = &self.listener.allowed_routes.namespaces;
        match allowed.from {
            FromNamespaces::All => true,
            FromNamespaces::Same => gateway.namespace().as_deref() == Some(from),
            FromNamespaces::Selector => {
                let namespace = namespaces.iter().find(|other| other.name_any() == from);
                let selector = allowed.selector.clone().unwrap_or_default();
                let selector = Selector::try_from(selector);
                namespace
                    .zip(selector.ok())
                    .is_some_and(|(namespace, selector)| selector.matches(namespace.labels()))
            }
        }
    }
}

/// All that are served here, by `namespace/name`.
pub(super) fn read<'a>(
    snapshot: &'a Snapshot,
    problems: &mut BTreeSet<Problem>,
) -> BTreeMap<String, Parent<'a>> {
    let mut parents = BTreeMap::new();
    for object in &snapshot.api_gateways {
        let mut report = Report::new(ObjectId::of(&**object));
        let class = &object.spec.gateway_class_name;
        match role(class, &snapshot.gateway_classes) {
            Some(role) => {
                let parent = read_one(object, role, &mut report);
                let namespace = object.namespace().unwrap_or_default();
                parents.insert(format!("{namespace}/{}", object.name_any()), parent);
            }
            None if snapshot
                .gateway_classes
                .iter()
                .all(|other| other.name_any() != *class) =>
            {
                let message = format!(
                    "there is no GatewayClass {class}; use istio, or istio-waypoint between pods"
                );
                report.note(Reason::Unresolved, "spec.gatewayClassName", message);
            }
            // Another controller's.
            None => {}
        }
        problems.extend(report.into_problems());
    }
    parents
}

fn read_one<'a>(object: &'a Gateway, role: Role, report: &mut Report) -> Parent<'a> {
    let spec = &object.spec;
    for (field, given, message) in [
        (
            "spec.addresses",
            !spec.addresses.is_empty(),
            "the ingress has one address for all, given when the mesh is started",
        ),
        (
            "spec.infrastructure",
            spec.infrastructure.is_some(),
            "nothing is made for a Gateway here; one proxy serves all of them",
        ),
        (
            "spec.allowedListeners",
            spec.allowed_listeners.is_some(),
            "ListenerSets are not read; write the listeners here",
        ),
        (
            "spec.tls",
            spec.tls.is_some(),
            "everything is plain HTTP here",
        ),
    ] {
        if given {
            report.unsupported(field, message);
        }
    }
    let listeners = spec.listeners.iter().enumerate();
    let listeners = listeners
        .map(|(index, listener)| {
            let field = format!("spec.listeners[{index}]");
            read_listener(listener, role, &field, report)
        })
        .collect();
    Parent {
        object,
        role,
        listeners,
    }
}

fn read_listener<'a>(
    listener: &'a Listener,
    role: Role,
    field: &str,
    report: &mut Report,
) -> Entry<'a> {
    let mut entry = Entry {
        listener,
        kinds: Vec::new(),
        fault: None,
    };
    let expected = match role {
        Role::Ingress => "HTTP",
        Role::Waypoint => "HBONE",
    };
    if listener.protocol != expected {
        let protocol = &listener.protocol;
        let message = match role {
            Role::Ingress => format!("the ingress speaks HTTP, not {protocol}"),
            Role::Waypoint => format!("a waypoint has the protocol HBONE, not {protocol}"),
        };
        report.unsupported(format!("{field}.protocol"), &message);
        entry.fault = Some(Verdict::no("Accepted", "UnsupportedProtocol", message));
        return entry;
    }
    if listener.tls.is_some() {
        report.unsupported(format!("{field}.tls"), "the ingress speaks plain HTTP");
    }
    let allowed = &listener.allowed_routes;
    if let Err(error) = Selector::try_from(allowed.namespaces.selector.clone().unwrap_or_default())
    {
        let field = format!("{field}.allowedRoutes.namespaces.selector");
        report.invalid(field, format!("{error}; no route can attach"));
    }
    if role == Role::Waypoint {
        return entry;
    }
    let is_http_route = |kind: &RouteGroupKind| kind.group == GROUP && kind.kind == "HTTPRoute";
    if allowed.kinds.is_empty() || allowed.kinds.iter().any(is_http_route) {
        entry.kinds.push(RouteGroupKind {
            group: GROUP.into(),
            kind: "HTTPRoute".into(),
        });
    }
    if let Some(other) = allowed.kinds.iter().find(|kind| !is_http_route(kind)) {
        let message = format!("{} is not possible here; routes are HTTPRoutes", other.kind);
        report.unsupported(format!("{field}.allowedRoutes.kinds"), &message);
        entry.fault = Some(Verdict::no("ResolvedRefs", "InvalidRouteKinds", message));
    }
    entry
}

//! The Gateway API's `Gateway`s that this mesh serves, and the routes that their listeners accept.

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

/// The GatewayClasses that Istio installs.
pub(crate) const CLASSES: [Class; 2] = [
    Class {
        name: "istio",
        controller: GATEWAY_CONTROLLER,
        description: "Gateways for traffic from outside, served by the ingress",
    },
    Class {
        name: "istio-waypoint",
        controller: MESH_CONTROLLER,
        description: "Waypoints, all served by the one proxy of the mesh",
    },
];

/// A GatewayClass that is created if it is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) controller: &'static str,
    pub(crate) description: &'static str,
}

/// The purpose of a `Gateway`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Traffic from outside.
    Ingress,
    /// Traffic between pods. One proxy serves all of them, so no listener is opened.
    Waypoint,
}

/// The role of gateways of class `name`. `None` if another controller handles the class.
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

/// A `Gateway` that this mesh serves.
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
    /// The kinds of routes that it accepts.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// The condition that reports its fault, if it has one.
    pub(super) fault: Option<Verdict>,
}

impl Entry<'_> {
    /// True if `HTTPRoute`s of namespace `from` may attach to this listener of `gateway`.
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

/// All `Gateway`s that this mesh serves, by `namespace/name`.
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
                    "GatewayClass {class} does not exist; use istio for ingress, istio-waypoint between pods"
                );
                report.note(Reason::Unresolved, "spec.gatewayClassName", message);
            }
            // Another controller handles the class.
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
            "the ingress has one address for all Gateways, set when the mesh starts",
        ),
        (
            "spec.infrastructure",
            spec.infrastructure.is_some(),
            "no infrastructure is created for a Gateway here; one proxy serves all of them",
        ),
        (
            "spec.allowedListeners",
            spec.allowed_listeners.is_some(),
            "ListenerSets are not read; list the listeners in the Gateway",
        ),
        (
            "spec.tls",
            spec.tls.is_some(),
            "all traffic is plain HTTP here",
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
            Role::Ingress => format!("the ingress serves HTTP, not {protocol}"),
            Role::Waypoint => format!("the protocol of a waypoint is HBONE, not {protocol}"),
        };
        report.unsupported(format!("{field}.protocol"), &message);
        entry.fault = Some(Verdict::no("Accepted", "UnsupportedProtocol", message));
        return entry;
    }
    if listener.tls.is_some() {
        report.unsupported(format!("{field}.tls"), "the ingress serves plain HTTP");
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
        let message = format!("{} is not supported here; use HTTPRoute", other.kind);
        report.unsupported(format!("{field}.allowedRoutes.kinds"), &message);
        entry.fault = Some(Verdict::no("ResolvedRefs", "InvalidRouteKinds", message));
    }
    entry
}

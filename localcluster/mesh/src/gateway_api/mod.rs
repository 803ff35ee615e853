//! The Gateway API objects that this mesh reads and whose status it writes.
//!
//! The types have every field of the standard channel of [`BUNDLE_VERSION`] for the three kinds, with the upstream
//! defaults, which an API server writes into every object. A Rust default of a type here is the default of its schema.
//!
//! Upstream has further rules in CEL. The mesh checks them itself when it compiles an object.

mod crd;
mod filter;
mod gateway;
mod http_route;
mod parent;
mod status;

pub use crd::crds;
pub use filter::{
    BackendObjectReference, CorsFilter, ExtensionReference, FilterType, Fraction, Header,
    HeaderModifier, HttpRouteFilter, PathModifier, PathModifierType, RequestMirror,
    RequestRedirect, UrlRewrite,
};
pub use gateway::{
    AllowedRoutes, FromNamespaces, Gateway, GatewayAddress, GatewayClass, GatewayClassSpec,
    GatewayClassStatus, GatewaySpec, GatewayStatus, Listener, ListenerStatus, RouteGroupKind,
    RouteNamespaces,
};
pub use http_route::{
    HTTPRoute, HTTPRouteSpec, HttpBackendRef, HttpMethod, HttpRouteMatch, HttpRouteRule, MatchType,
    PathMatch, PathMatchType, Timeouts, ValueMatch,
};
pub use parent::ParentReference;
pub use status::{RouteParentStatus, RouteStatus};

/// API group of the kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// Release of the Gateway API that the types follow.
pub const BUNDLE_VERSION: &str = "v1.5.1";
/// Controller name in the status of routes and in `GatewayClass` `istio`.
pub const GATEWAY_CONTROLLER: &str = "istio.io/gateway-controller";
/// Controller name in `GatewayClass` `istio-waypoint`.
pub const MESH_CONTROLLER: &str = "istio.io/mesh-controller";

/// A host name, optionally with the prefix `*.`.
const HOSTNAME: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A host name without `*.`. Also the name of a listener or rule.
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An API group. Empty for the core group.
const API_GROUP: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A kind.
const KIND: &str = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";
/// A namespace.
const NAMESPACE: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Name of a header or query parameter.
const TOKEN: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";
/// A duration.
const DURATION: &str = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// A controller: a domain and a path.
const CONTROLLER: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$";
/// An origin of cross-origin sharing.
const ORIGIN: &str =
    r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)";

/// Defaults of fields.
mod default {
    pub(super) fn group() -> String {
        super::GROUP.into()
    }

    pub(super) fn gateway() -> String {
        "Gateway".into()
    }

    pub(super) fn service() -> String {
        "Service".into()
    }

    pub(super) fn weight() -> u32 {
        1
    }

    pub(super) fn status_code() -> u16 {
        302
    }

    pub(super) fn max_age() -> u32 {
        5
    }

    pub(super) fn denominator() -> u32 {
        100
    }

    pub(super) fn address_type() -> String {
        "IPAddress".into()
    }
}

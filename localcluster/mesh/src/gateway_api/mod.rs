//! The Gateway API objects this mesh reads and answers, as served by the API server.
//!
//! The types hold every field of the standard channel of [`BUNDLE_VERSION`] for the three kinds, with
//! upstream's defaults, which an API server writes into every object. A Rust default of a type here
//! is the default of its schema.
//!
//! Upstream's further rules are written in CEL; the mesh checks them itself when it reads an object.

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

/// Group of the kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// Release of the Gateway API whose standard channel the types hold.
pub const BUNDLE_VERSION: &str = "v1.5.1";
/// Controller of gateways in `status` and in `GatewayClass` `istio`.
pub const GATEWAY_CONTROLLER: &str = "istio.io/gateway-controller";
/// Controller of `GatewayClass` `istio-waypoint`.
pub const MESH_CONTROLLER: &str = "istio.io/mesh-controller";

/// What a host name looks like; `*.` may stand before it.
const HOSTNAME: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A host name without `*.`; also the name of a listener or rule.
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An API group; empty for the core group.
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

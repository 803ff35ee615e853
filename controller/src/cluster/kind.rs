//! The kinds of objects that the controller uses.

use std::fmt;

use kube::core::ApiResource;

/// A kind of object that the controller watches and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `canaries.flagger.app`
    Canary,
    /// `metrictemplates.flagger.app`
    MetricTemplate,
    /// `alertproviders.flagger.app`
    AlertProvider,
    /// `deployments.apps`
    Deployment,
    /// `services`
    Service,
    /// `configmaps`
    ConfigMap,
    /// `secrets`
    Secret,
    /// `virtualservices.networking.istio.io`
    VirtualService,
    /// `destinationrules.networking.istio.io`
    DestinationRule,
    /// `httproutes.gateway.networking.k8s.io`
    HttpRoute,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 10] = [
        Kind::Canary,
        Kind::MetricTemplate,
        Kind::AlertProvider,
        Kind::Deployment,
        Kind::Service,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::HttpRoute,
    ];

    /// Whether only some routers need the kind, so that a cluster may lack it.
    #[must_use]
    pub fn is_of_a_router(self) -> bool {
        matches!(
            self,
            Kind::VirtualService | Kind::DestinationRule | Kind::HttpRoute
        )
    }

    /// API group, version, kind and plural.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Kind::Canary => ("flagger.app", "v1beta1", "Canary", "canaries"),
            Kind::MetricTemplate => (
                "flagger.app",
                "v1beta1",
                "MetricTemplate",
                "metrictemplates",
            ),
            Kind::AlertProvider => ("flagger.app", "v1beta1", "AlertProvider", "alertproviders"),
            Kind::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Kind::Service => ("", "v1", "Service", "services"),
            Kind::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Kind::Secret => ("", "v1", "Secret", "secrets"),
            Kind::VirtualService => (
                "networking.istio.io",
                "v1beta1",
                "VirtualService",
                "virtualservices",
            ),
            Kind::DestinationRule => (
                "networking.istio.io",
                "v1beta1",
                "DestinationRule",
                "destinationrules",
            ),
            Kind::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        }
    }

    /// The resource in the form that the client needs.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// `apiVersion` of the objects.
    #[must_use]
    pub fn api_version(self) -> String {
        let (group, version, _, _) = self.names();
        if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        }
    }

    /// `kind` of the objects.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().2
    }

    /// The qualified name of the resource, as in `kubectl` and RBAC errors: `deployments.apps`.
    #[must_use]
    pub fn qualified(self) -> String {
        let (group, _, _, plural) = self.names();
        if group.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}.{group}")
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! The kinds of objects that the controller watches.

use std::fmt;

use kube::core::ApiResource;

/// A kind of object that the controller watches. Each router has constants for its own kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(&'static Names);

/// The names of a kind.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Names {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// `kind` of the objects.
    pub kind: &'static str,
    /// Plural, as in URLs.
    pub plural: &'static str,
    /// Whether a cluster may lack the kind, because only the canaries of some router need it.
    pub is_optional: bool,
}

impl Kind {
    /// `canaries.flagger.app`
    pub const CANARY: Kind = Kind::of(&Names {
        group: "flagger.app",
        version: "v1beta1",
        kind: "Canary",
        plural: "canaries",
        is_optional: false,
    });
    /// `metrictemplates.flagger.app`
    pub const METRIC_TEMPLATE: Kind = Kind::of(&Names {
        group: "flagger.app",
        version: "v1beta1",
        kind: "MetricTemplate",
        plural: "metrictemplates",
        is_optional: false,
    });
    /// `alertproviders.flagger.app`
    pub const ALERT_PROVIDER: Kind = Kind::of(&Names {
        group: "flagger.app",
        version: "v1beta1",
        kind: "AlertProvider",
        plural: "alertproviders",
        is_optional: false,
    });
    /// `deployments.apps`
    pub const DEPLOYMENT: Kind = Kind::of(&Names {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        is_optional: false,
    });
    /// `services`
    pub const SERVICE: Kind = Kind::of(&Names {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        is_optional: false,
    });
    /// `configmaps`
    pub const CONFIG_MAP: Kind = Kind::of(&Names {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        is_optional: false,
    });
    /// `secrets`
    pub const SECRET: Kind = Kind::of(&Names {
        group: "",
        version: "v1",
        kind: "Secret",
        plural: "secrets",
        is_optional: false,
    });

    /// The kinds that every cluster must have.
    pub const REQUIRED: [Kind; 7] = [
        Kind::CANARY,
        Kind::METRIC_TEMPLATE,
        Kind::ALERT_PROVIDER,
        Kind::DEPLOYMENT,
        Kind::SERVICE,
        Kind::CONFIG_MAP,
        Kind::SECRET,
    ];

    /// The kind of these names.
    #[must_use]
    pub const fn of(names: &'static Names) -> Self {
        Self(names)
    }

    /// Returns whether a cluster may lack the kind.
    #[must_use]
    pub fn is_optional(self) -> bool {
        self.0.is_optional
    }

    /// The resource as the client addresses it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        ApiResource {
            group: self.0.group.to_owned(),
            version: self.0.version.to_owned(),
            api_version: self.api_version(),
            kind: self.0.kind.to_owned(),
            plural: self.0.plural.to_owned(),
        }
    }

    /// `apiVersion` of the objects.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.0.group.is_empty() {
            self.0.version.to_owned()
        } else {
            format!("{}/{}", self.0.group, self.0.version)
        }
    }

    /// `kind` of the objects.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.kind
    }

    /// The name of the resource as `kubectl` and RBAC errors write it, such as `deployments.apps`.
    #[must_use]
    pub fn qualified(self) -> String {
        if self.0.group.is_empty() {
            self.0.plural.to_owned()
        } else {
            format!("{}.{}", self.0.plural, self.0.group)
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind)
    }
}

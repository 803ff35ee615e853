//! The built-in kinds, as a table.

use super::{Behaviour, Kind, ScalePaths};

/// A built-in kind. `status` and `scale` say which subresources are served.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) status: bool,
    pub(crate) scale: bool,
    /// Whether changes of `spec` count in `metadata.generation`.
    pub(crate) generation: bool,
    /// Field selectors beyond name and namespace.
    pub(crate) selectable: &'static [&'static str],
    /// Subresources of its own, as (name, kind, verb).
    pub(crate) extra: &'static [(&'static str, &'static str, &'static str)],
    /// `group/plural` under which objects are stored, when that differs from the kind's own.
    pub(crate) storage: Option<&'static str>,
    /// Questions, not objects: created only, answered at once, never stored.
    pub(crate) review: bool,
}

const PLAIN: Builtin = Builtin {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    status: false,
    scale: false,
    generation: false,
    selectable: &[],
    extra: &[],
    storage: None,
    review: false,
};

const ALL: &[&str] = &["all"];

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "reason",
    "reportingComponent",
    "reportingController",
    "source",
    "type",
];

/// Every built-in kind.
pub(crate) const BUILTIN: &[Builtin] = &[
    Builtin {
        kind: "Namespace",
        plural: "namespaces",
        short_names: &["ns"],
        namespaced: false,
        status: true,
        selectable: &["status.phase"],
        extra: &[("finalize", "Namespace", "update")],
        ..PLAIN
    },
    Builtin {
        kind: "Pod",
        plural: "pods",
        short_names: &["po"],
        categories: ALL,
        status: true,
        selectable: &[
            "status.phase",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.podIP",
        ],
        extra: &[("log", "Pod", "get")],
        generation: true,
        ..PLAIN
    },
    Builtin {
        kind: "Service",
        plural: "services",
        short_names: &["svc"],
        categories: ALL,
        status: true,
        selectable: &["spec.clusterIP", "spec.type"],
        ..PLAIN
    },
    Builtin {
        kind: "Endpoints",
        plural: "endpoints",
        short_names: &["ep"],
        ..PLAIN
    },
    Builtin {
        kind: "ConfigMap",
        plural: "configmaps",
        short_names: &["cm"],
        ..PLAIN
    },
    Builtin {
        kind: "Secret",
        plural: "secrets",
        selectable: &["type"],
        ..PLAIN
    },
    Builtin {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        short_names: &["sa"],
        extra: &[("token", "TokenRequest", "create")],
        ..PLAIN
    },
    Builtin {
        kind: "Event",
        plural: "events",
        short_names: &["ev"],
        selectable: EVENT_FIELDS,
        ..PLAIN
    },
    Builtin {
        kind: "Node",
        plural: "nodes",
        short_names: &["no"],
        namespaced: false,
        status: true,
        selectable: &["spec.unschedulable"],
        ..PLAIN
    },
    Builtin {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        short_names: &["deploy"],
        categories: ALL,
        status: true,
        scale: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        short_names: &["rs"],
        categories: ALL,
        status: true,
        scale: true,
        generation: true,
        selectable: &["status.replicas"],
        ..PLAIN
    },
    Builtin {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        short_names: &["ds"],
        categories: ALL,
        status: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        short_names: &["sts"],
        categories: ALL,
        status: true,
        scale: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        ..PLAIN
    },
    Builtin {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        ..PLAIN
    },
    Builtin {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        short_names: &["ev"],
        selectable: EVENT_FIELDS,
        storage: Some("core/events"),
        ..PLAIN
    },
    Builtin {
        group: "rbac.authorization.k8s.io",
        kind: "Role",
        plural: "roles",
        ..PLAIN
    },
    Builtin {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        plural: "clusterroles",
        namespaced: false,
        ..PLAIN
    },
    Builtin {
        group: "rbac.authorization.k8s.io",
        kind: "RoleBinding",
        plural: "rolebindings",
        ..PLAIN
    },
    Builtin {
        group: "rbac.authorization.k8s.io",
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        namespaced: false,
        ..PLAIN
    },
    Builtin {
        group: "policy",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        short_names: &["pdb"],
        status: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        short_names: &["hpa"],
        categories: ALL,
        status: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        short_names: &["netpol"],
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        short_names: &["ing"],
        status: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        categories: ALL,
        status: true,
        generation: true,
        selectable: &["status.successful"],
        ..PLAIN
    },
    Builtin {
        group: "apiextensions.k8s.io",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        namespaced: false,
        status: true,
        generation: true,
        ..PLAIN
    },
    Builtin {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        namespaced: false,
        review: true,
        ..PLAIN
    },
    Builtin {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        namespaced: false,
        review: true,
        ..PLAIN
    },
    Builtin {
        group: "authorization.k8s.io",
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        namespaced: false,
        review: true,
        ..PLAIN
    },
    Builtin {
        group: "authentication.k8s.io",
        kind: "TokenReview",
        plural: "tokenreviews",
        namespaced: false,
        review: true,
        ..PLAIN
    },
    Builtin {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        namespaced: false,
        review: true,
        ..PLAIN
    },
];

impl Builtin {
    pub(crate) fn to_kind(&'static self) -> Kind {
        let group = if self.group.is_empty() {
            "core"
        } else {
            self.group
        };
        Kind {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            list_kind: format!("{}List", self.kind),
            short_names: self
                .short_names
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            categories: self
                .categories
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            namespaced: self.namespaced,
            storage: self
                .storage
                .map_or_else(|| format!("{group}/{}", self.plural), str::to_owned),
            status: self.status,
            scale: self.scale.then(|| ScalePaths {
                spec_replicas: "/spec/replicas".to_owned(),
                status_replicas: "/status/replicas".to_owned(),
                label_selector: None,
            }),
            behaviour: Behaviour::Builtin(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin::{DOCUMENTS, definition_name};

    #[test]
    fn every_builtin_kind_has_a_definition() {
        for kind in BUILTIN {
            let name = definition_name(kind.group, kind.version, kind.kind);
            assert!(DOCUMENTS.contains_key(&name), "{name}");
        }
    }
}

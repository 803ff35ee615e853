//! How the lists and maps of built-in kinds merge. The types' own schemas do not say; upstream keeps it
//! in tags of its sources. Strategic merge patch, server-side apply and the published OpenAPI documents
//! all take it from here. A list that is not named is replaced as a whole.

use serde_json::{Value, json};

/// How one field merges.
pub(super) struct Merging {
    /// Type and field, e.g. `PodSpec.containers`.
    pub(super) field: &'static str,
    /// Fields that identify an item for server-side apply; empty for a set or an atomic list.
    keys: &'static [&'static str],
    kind: Kind,
    /// Key of strategic merge patch.
    patch_key: Option<&'static str>,
    retain_keys: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Map,
    Set,
    Atomic,
    /// Not a list: an object of which strategic merge patch may name the fields that stay.
    Object,
}

const fn map(field: &'static str, keys: &'static [&'static str]) -> Merging {
    Merging {
        field,
        keys,
        kind: Kind::Map,
        patch_key: Some(keys[0]),
        retain_keys: false,
    }
}

const fn map_unpatched(field: &'static str, keys: &'static [&'static str]) -> Merging {
    Merging {
        field,
        keys,
        kind: Kind::Map,
        patch_key: None,
        retain_keys: false,
    }
}

const fn set(field: &'static str) -> Merging {
    Merging {
        field,
        keys: &[],
        kind: Kind::Set,
        patch_key: Some(""),
        retain_keys: false,
    }
}

const fn set_unpatched(field: &'static str) -> Merging {
    Merging {
        field,
        keys: &[],
        kind: Kind::Set,
        patch_key: None,
        retain_keys: false,
    }
}

const fn atomic(field: &'static str, patch_key: &'static str) -> Merging {
    Merging {
        field,
        keys: &[],
        kind: Kind::Atomic,
        patch_key: Some(patch_key),
        retain_keys: false,
    }
}

const fn retaining(merging: Merging) -> Merging {
    Merging {
        retain_keys: true,
        ..merging
    }
}

/// Every list of the served kinds that does not merge as one value.
pub(super) const FIELDS: &[Merging] = &[
    set("ObjectMeta.finalizers"),
    map("ObjectMeta.ownerReferences", &["uid"]),
    retaining(map("PodSpec.volumes", &["name"])),
    map("PodSpec.containers", &["name"]),
    map("PodSpec.initContainers", &["name"]),
    map("PodSpec.ephemeralContainers", &["name"]),
    map("PodSpec.imagePullSecrets", &["name"]),
    map("PodSpec.hostAliases", &["ip"]),
    map(
        "PodSpec.topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    map("PodSpec.schedulingGates", &["name"]),
    retaining(map("PodSpec.resourceClaims", &["name"])),
    map("Container.ports", &["containerPort", "protocol"]),
    map("Container.env", &["name"]),
    map("Container.volumeMounts", &["mountPath"]),
    map("Container.volumeDevices", &["devicePath"]),
    map("EphemeralContainer.ports", &["containerPort", "protocol"]),
    map("EphemeralContainer.env", &["name"]),
    map("EphemeralContainer.volumeMounts", &["mountPath"]),
    map("EphemeralContainer.volumeDevices", &["devicePath"]),
    map_unpatched("ResourceRequirements.claims", &["name"]),
    map("PodStatus.conditions", &["type"]),
    map("PodStatus.podIPs", &["ip"]),
    atomic("PodStatus.hostIPs", "ip"),
    map("ServiceSpec.ports", &["port", "protocol"]),
    map("ServiceStatus.conditions", &["type"]),
    map("ServiceAccount.secrets", &["name"]),
    map("NodeStatus.conditions", &["type"]),
    map("NodeStatus.addresses", &["type"]),
    set("NodeSpec.podCIDRs"),
    map("NamespaceStatus.conditions", &["type"]),
    Merging {
        field: "DeploymentSpec.strategy",
        keys: &[],
        kind: Kind::Object,
        patch_key: None,
        retain_keys: true,
    },
    map("DeploymentStatus.conditions", &["type"]),
    map("ReplicaSetStatus.conditions", &["type"]),
    map("DaemonSetStatus.conditions", &["type"]),
    map("StatefulSetStatus.conditions", &["type"]),
    map("PodDisruptionBudgetStatus.conditions", &["type"]),
    map("HorizontalPodAutoscalerStatus.conditions", &["type"]),
    atomic("JobStatus.conditions", "type"),
    set_unpatched("Endpoint.addresses"),
    map_unpatched("CustomResourceDefinitionStatus.conditions", &["type"]),
];

/// Types, and maps inside types, that merge as one value.
pub(super) const ATOMIC: &[&str] = &[
    "LabelSelector",
    "ObjectReference",
    "LocalObjectReference",
    "TypedLocalObjectReference",
    "OwnerReference",
    "SecretKeySelector",
    "ConfigMapKeySelector",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "NodeSelector",
    "NodeSelectorTerm",
    "EndpointAddress",
    "EndpointPort",
    "RoleRef",
    "Subject",
    "IngressServiceBackend.port",
    "PodSpec.nodeSelector",
    "ServiceSpec.selector",
    "PodSpec.overhead",
];

impl Merging {
    /// Adds the extensions that say this to the schema of the field.
    pub(super) fn annotate(&self, schema: &mut Value) {
        match self.kind {
            Kind::Map => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!(self.keys);
            }
            Kind::Set => schema["x-kubernetes-list-type"] = "set".into(),
            Kind::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
            Kind::Object => {}
        }
        let strategy = match (self.patch_key, self.retain_keys) {
            (Some(_), true) => "merge,retainKeys",
            (Some(_), false) => "merge",
            (None, true) => "retainKeys",
            (None, false) => return,
        };
        schema["x-kubernetes-patch-strategy"] = strategy.into();
        if let Some(key) = self.patch_key.filter(|key| !key.is_empty()) {
            schema["x-kubernetes-patch-merge-key"] = key.into();
        }
    }
}

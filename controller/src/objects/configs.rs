//! ConfigMaps and Secrets that a pod template refers to: selection of the tracked ones, their copies for the primary,
//! and the rewrite of the references.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ownership::{self, Claim};
use crate::cluster::labels::LabelPrefixes;
use crate::cluster::{Kind, Object};

/// A ConfigMap or Secret that a pod template refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigRef {
    /// `ConfigMap` or `Secret`.
    pub kind: Kind,
    /// Name.
    pub name: String,
}

impl ConfigRef {
    /// The key in `status.trackedConfigs`: `configmap/NAME` or `secret/NAME`.
    #[must_use]
    pub fn status_key(&self) -> String {
        let kind = if self.kind == Kind::SECRET {
            "secret"
        } else {
            "configmap"
        };
        format!("{kind}/{}", self.name)
    }

    /// Name of the primary's copy.
    #[must_use]
    pub fn copy_name(&self) -> String {
        format!("{}-primary", self.name)
    }
}

/// Types of Secrets that are tracked (Flagger's list). Secrets of other types are shared, not copied.
const SECRET_TYPES: [&str; 4] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// Whether an object can be tracked: tracking is not disabled by annotation, and a Secret is of a supported type.
#[must_use]
pub fn is_trackable(kind: Kind, object: &Object) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    let switch = annotations.and_then(|all| all.get("flagger.app/config-tracking"));
    if switch.is_some_and(|value| value.starts_with("disable")) {
        return false;
    }
    kind != Kind::SECRET
        || object.data["type"]
            .as_str()
            .is_none_or(|kind| SECRET_TYPES.contains(&kind))
}

/// The ConfigMaps and Secrets that a pod spec refers to. The value is true if all references to the object are
/// optional.
#[must_use]
pub fn references(pod_spec: &Value) -> BTreeMap<ConfigRef, bool> {
    let mut found = BTreeMap::new();
    let mut pod_spec = pod_spec.clone();
    each_reference(&mut pod_spec, &mut |kind, name, optional| {
        let entry = found
            .entry(ConfigRef {
                kind,
                name: name.clone(),
            })
            .or_insert(optional);
        *entry = *entry && optional;
    });
    found
}

/// Replaces references to the given objects by references to their copies.
pub fn point_to_copies(pod_spec: &mut Value, tracked: &BTreeMap<ConfigRef, String>) {
    each_reference(pod_spec, &mut |kind, name, _| {
        let reference = ConfigRef {
            kind,
            name: name.clone(),
        };
        if tracked.contains_key(&reference) {
            *name = reference.copy_name();
        }
    });
}

/// Calls `visit` with kind, name and optionality of each reference. The places are Flagger's: volumes, projected
/// sources, and `env` and `envFrom` of containers and init containers, but not image pull secrets.
fn each_reference(pod_spec: &mut Value, visit: &mut impl FnMut(Kind, &mut String, bool)) {
    for volume in items(pod_spec, "volumes") {
        visit_at(volume, "configMap", "name", Kind::CONFIG_MAP, visit);
        visit_at(volume, "secret", "secretName", Kind::SECRET, visit);
        if let Some(projected) = volume.get_mut("projected") {
            for source in items(projected, "sources") {
                visit_at(source, "configMap", "name", Kind::CONFIG_MAP, visit);
                visit_at(source, "secret", "name", Kind::SECRET, visit);
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in items(pod_spec, list) {
            for variable in items(container, "env") {
                if let Some(from) = variable.get_mut("valueFrom") {
                    visit_at(from, "configMapKeyRef", "name", Kind::CONFIG_MAP, visit);
                    visit_at(from, "secretKeyRef", "name", Kind::SECRET, visit);
                }
            }
            for source in items(container, "envFrom") {
                visit_at(source, "configMapRef", "name", Kind::CONFIG_MAP, visit);
                visit_at(source, "secretRef", "name", Kind::SECRET, visit);
            }
        }
    }
}

fn items<'a>(value: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    value
        .get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn visit_at(
    value: &mut Value,
    field: &str,
    name_field: &str,
    kind: Kind,
    visit: &mut impl FnMut(Kind, &mut String, bool),
) {
    let Some(reference) = value.get_mut(field) else {
        return;
    };
    let optional = reference["optional"].as_bool().unwrap_or(false);
    if let Some(Value::String(name)) = reference.get_mut(name_field) {
        visit(kind, name, optional);
    }
}

/// The claim on a copy without an owner: ours if the primary uses it, or if its content is that of the original.
#[must_use]
pub fn claim(
    reference: &ConfigRef,
    existing: &Value,
    same_content: bool,
    primary: Option<&Value>,
) -> Claim {
    let used = primary.is_some_and(|primary| {
        let copy = ConfigRef {
            kind: reference.kind,
            name: reference.copy_name(),
        };
        references(&primary["spec"]["template"]["spec"]).contains_key(&copy)
    });
    if used {
        return Claim::Ours;
    }
    match ownership::applied_with(existing) {
        Some(tool) => Claim::Foreign(format!("it was applied with {tool}")),
        None if same_content => Claim::Ours,
        None => Claim::Foreign(format!(
            "its content differs from {} \"{}\" and the primary does not use it",
            reference.kind, reference.name
        )),
    }
}

/// The primary's copy of a ConfigMap or Secret: same data and type, filtered labels, owned by the Canary. An existing
/// copy keeps its owners, because changing them can require a permission that changing the content does not.
#[must_use]
pub fn copy(
    reference: &ConfigRef,
    source: &Object,
    existing: Option<&Object>,
    owner: &Value,
    labels: &LabelPrefixes,
) -> Value {
    let owners = existing.map_or_else(
        || json!([owner]),
        |copy| {
            json!(
                copy.metadata
                    .owner_references
                    .as_deref()
                    .unwrap_or_default()
            )
        },
    );
    let source_labels = source.metadata.labels.iter().flatten();
    let kept: BTreeMap<_, _> = source_labels
        .filter(|(key, _)| labels.includes(key))
        .collect();
    let mut copy = json!({
        "apiVersion": reference.kind.api_version(),
        "kind": reference.kind.name(),
        "metadata": {
            "name": reference.copy_name(),
            "namespace": source.metadata.namespace,
            "labels": kept,
            "ownerReferences": owners,
        },
    });
    if let Some(version) = existing.and_then(|copy| copy.metadata.resource_version.as_ref()) {
        copy["metadata"]["resourceVersion"] = json!(version);
    }
    for field in ["data", "binaryData", "type"] {
        if !source.data[field].is_null() {
            copy[field] = source.data[field].clone();
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod_spec() -> Value {
        json!({
            "imagePullSecrets": [{ "name": "pull" }],
            "volumes": [
                { "name": "a", "configMap": { "name": "settings" } },
                { "name": "b", "secret": { "secretName": "tls", "optional": true } },
                { "name": "c", "projected": { "sources": [
                    { "configMap": { "name": "more" } }, { "secret": { "name": "token" } } ] } },
                { "name": "d", "emptyDir": {} },
            ],
            "initContainers": [{ "name": "i", "envFrom": [{ "configMapRef": { "name": "init" } }] }],
            "containers": [{ "name": "c",
                "env": [
                    { "name": "A", "value": "plain" },
                    { "name": "B", "valueFrom": { "secretKeyRef": { "name": "tls", "key": "k" } } },
                    { "name": "C", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "k",
                        "optional": true } } },
                    { "name": "D", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                ],
                "envFrom": [{ "secretRef": { "name": "env", "optional": true } }],
            }],
        })
    }

    #[test]
    fn all_references_are_found_and_a_mandatory_one_takes_precedence() {
        let found: Vec<_> = references(&pod_spec())
            .into_iter()
            .map(|(reference, optional)| (reference.status_key(), optional))
            .collect();
        let expected = [
            ("configmap/init", false),
            ("configmap/more", false),
            ("configmap/settings", false),
            ("secret/env", true),
            ("secret/tls", false),
            ("secret/token", false),
        ];
        assert_eq!(
            found,
            expected.map(|(key, optional)| (key.to_owned(), optional))
        );
    }

    #[test]
    fn only_tracked_references_point_to_copies() {
        let mut spec = pod_spec();
        let tracked = BTreeMap::from([
            (
                ConfigRef {
                    kind: Kind::CONFIG_MAP,
                    name: "settings".into(),
                },
                String::new(),
            ),
            (
                ConfigRef {
                    kind: Kind::SECRET,
                    name: "tls".into(),
                },
                String::new(),
            ),
        ]);
        point_to_copies(&mut spec, &tracked);
        let names: Vec<_> = references(&spec)
            .into_keys()
            .map(|r| r.status_key())
            .collect();
        assert_eq!(
            names,
            [
                "configmap/init",
                "configmap/more",
                "configmap/settings-primary",
                "secret/env",
                "secret/tls-primary",
                "secret/token"
            ]
        );
        assert_eq!(spec["imagePullSecrets"][0]["name"], "pull");
    }

    #[test]
    fn a_copy_that_exists_keeps_its_owners() {
        let reference = ConfigRef {
            kind: Kind::SECRET,
            name: "s".into(),
        };
        let source: Object = serde_json::from_value(json!({
            "metadata": { "name": "s", "namespace": "ns", "labels": { "keep/a": "1", "b": "2" },
                "annotations": { "x": "y" } },
            "type": "Opaque", "data": { "k": "dg==" } }))
        .unwrap();
        let existing: Object = serde_json::from_value(json!({
            "metadata": { "name": "s-primary", "resourceVersion": "7", "ownerReferences": [
                { "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "other", "uid": "u2",
                  "controller": true } ] } }))
        .unwrap();
        let owner = json!({ "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "me",
            "uid": "u1", "controller": true, "blockOwnerDeletion": true });
        let labels = LabelPrefixes::parse("keep/");
        insta::assert_yaml_snapshot!(copy(&reference, &source, Some(&existing), &owner, &labels));
    }
}

//! CustomResourceDefinitions: what they make the server serve.

use std::sync::Arc;

use serde_json::{Value, json};

use super::columns::CustomColumn;
use super::notices::skipped_rules;
use super::{Behaviour, Catalog, Kind, ScalePaths};
use crate::clock::Clock;
use crate::object;
use crate::schema::Schema;
use crate::store::Store;

/// What a CustomResourceDefinition says about one of its versions.
#[derive(Debug)]
pub(crate) struct Custom {
    /// Name of the definition, `PLURAL.GROUP`.
    pub(crate) definition: String,
    /// `spec.versions[]`.
    pub(crate) version: Value,
    /// Its schema, compiled.
    pub(crate) schema: Schema,
    /// What `kubectl get` shows.
    pub(crate) columns: Vec<CustomColumn>,
}

/// Prefix of the keys of the definitions.
const DEFINITIONS: &str = "/apiextensions.k8s.io/customresourcedefinitions/";

/// The built-in kinds and those of all accepted definitions.
pub(crate) fn catalog(store: &Store) -> Catalog {
    let mut catalog = Catalog::builtin();
    for record in store.scan(DEFINITIONS) {
        if condition(&record.value, "Established") == Some("True") {
            for kind in kinds(&record.value) {
                catalog.insert(kind);
            }
        }
    }
    catalog
}

fn condition<'a>(definition: &'a Value, wanted: &str) -> Option<&'a str> {
    definition
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == wanted)
        .and_then(|condition| condition["status"].as_str())
}

/// The kinds that a definition describes, one for each served version.
fn kinds(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let (group, plural) = (text(&spec["group"]), text(&names["plural"]));
    let versions = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| Kind {
            group: group.clone(),
            version: text(&version["name"]),
            kind: text(&names["kind"]),
            singular: text(&names["singular"]),
            list_kind: text(&names["listKind"]),
            short_names: list(&names["shortNames"]),
            categories: list(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            storage: format!("{group}/{plural}"),
            plural: plural.clone(),
            status: version.pointer("/subresources/status").is_some(),
            scale: version.pointer("/subresources/scale").map(scale_paths),
            behaviour: Behaviour::Custom(Arc::new(Custom {
                definition: object::name(definition).to_owned(),
                version: version.clone(),
                columns: CustomColumn::of_version(version),
                // Definitions whose schema does not compile are refused when they are created.
                schema: Schema::compile(&version["schema"]["openAPIV3Schema"]).unwrap_or_default(),
            })),
        })
        .collect()
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let pointer = |key: &str| scale[key].as_str().map(|path| path.replace('.', "/"));
    ScalePaths {
        spec_replicas: pointer("specReplicasPath").unwrap_or_default(),
        status_replicas: pointer("statusReplicasPath").unwrap_or_default(),
        label_selector: pointer("labelSelectorPath"),
    }
}

/// Fills in the names that follow from the others.
pub(crate) fn complete_names(definition: &mut Value) {
    let kind = object::text(definition, "/spec/names/kind").to_owned();
    let spec = object::child(object::fields(definition), "spec");
    let names = object::child(spec, "names");
    let empty = |names: &object::Fields, key: &str| {
        names
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .is_empty()
    };
    if !kind.is_empty() && empty(names, "singular") {
        names.insert("singular".to_owned(), kind.to_lowercase().into());
    }
    if !kind.is_empty() && empty(names, "listKind") {
        names.insert("listKind".to_owned(), format!("{kind}List").into());
    }
    object::set_default(spec, "conversion", json!({ "strategy": "None" }));
}

/// Sets the status of a definition: its names are accepted unless another definition has them, and with
/// that it is established. Here this needs no controller, so it is done before the definition is stored.
pub(crate) fn accept(definition: &mut Value, others: &[Value], clock: &Clock) {
    let problem = name_conflict(definition, others);
    let spec = definition["spec"].clone();
    let stored = definition.pointer("/status/storedVersions").cloned();
    let previous = definition
        .pointer("/status/conditions")
        .cloned()
        .unwrap_or_default();
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        let since = previous
            .as_array()
            .into_iter()
            .flatten()
            .find(|old| old["type"] == kind && old["status"] == status)
            .and_then(|old| old["lastTransitionTime"].as_str())
            .map_or_else(|| clock.now_rfc3339(), str::to_owned);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since,
        })
    };
    let mut conditions = match &problem {
        None => vec![
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                true,
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ],
        Some(message) => vec![
            condition("NamesAccepted", false, "NameConflict", message),
            condition(
                "Established",
                false,
                "NotAccepted",
                "not all names are accepted",
            ),
        ],
    };
    let skipped = skipped_rules(definition);
    if !skipped.is_empty() {
        conditions.push(condition(
            "ValidationRulesEvaluated",
            false,
            "NotSupported",
            &skipped.join("; "),
        ));
    }
    if object::is_deleting(definition) {
        conditions.push(condition(
            "Terminating",
            true,
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        ));
    }
    let mut versions: Vec<Value> = stored
        .and_then(|list| list.as_array().cloned())
        .unwrap_or_default();
    let storage = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|v| v["storage"] == true);
    if let Some(name) = storage.map(|version| version["name"].clone())
        && !versions.contains(&name)
    {
        versions.push(name);
    }
    let accepted = if problem.is_none() {
        spec["names"].clone()
    } else {
        json!({"kind": "", "plural": ""})
    };
    object::fields(definition).insert(
        "status".to_owned(),
        json!({ "conditions": conditions, "acceptedNames": accepted, "storedVersions": versions }),
    );
}

fn name_conflict(definition: &Value, others: &[Value]) -> Option<String> {
    let group = &definition["spec"]["group"];
    let names = &definition["spec"]["names"];
    others
        .iter()
        .filter(|other| object::name(other) != object::name(definition))
        .filter(|other| other["spec"]["group"] == *group)
        .find_map(|other| {
            ["kind", "listKind", "plural", "singular"]
                .into_iter()
                .find_map(|field| {
                    let taken = names[field] == other["spec"]["names"][field];
                    taken.then(|| format!("{} is already in use", names[field]))
                })
        })
}

/// Key of the definition called `name`.
pub(crate) fn definition_key(name: &str) -> String {
    format!("{DEFINITIONS}{name}")
}

/// Prefix of the keys of a definition's objects.
pub(crate) fn storage_prefix(definition: &Value) -> String {
    let spec = &definition["spec"];
    format!(
        "/{}/{}/",
        object::text(spec, "/group"),
        object::text(spec, "/names/plural")
    )
}

/// All definitions in the store.
pub(crate) fn definitions(store: &Store) -> Vec<Value> {
    store
        .scan(DEFINITIONS)
        .iter()
        .map(|record| (*record.value).clone())
        .collect()
}

//! OpenAPI v3 documents, one for each group and version: what `kubectl explain` shows, and where kubectl
//! learns how lists merge and that fields are validated here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Behaviour, Catalog, Kind};
use crate::schema::builtin::{self, DOCUMENTS, SCHEMAS};

/// Documents of everything served, by path (`api/v1`, `apis/apps/v1`).
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(BTreeMap<String, Document>);

/// A document and the hash by which clients cache it.
#[derive(Debug, Clone)]
struct Document {
    content: String,
    hash: String,
}

impl Documents {
    /// Makes the documents of everything in the catalog.
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let mut groups: BTreeMap<String, Vec<&Kind>> = BTreeMap::new();
        for kind in catalog.iter() {
            let prefix = if kind.group.is_empty() { "api" } else { "apis" };
            groups
                .entry(format!("{prefix}/{}", kind.api_version()))
                .or_default()
                .push(kind);
        }
        let document = |kinds: &[&Kind]| {
            let content = document(kinds).to_string();
            let hash = Sha256::digest(content.as_bytes());
            let hash = hash.iter().map(|byte| format!("{byte:02X}")).collect();
            Document { content, hash }
        };
        Self(
            groups
                .into_iter()
                .map(|(path, kinds)| (path, document(&kinds)))
                .collect(),
        )
    }

    /// The index, `/openapi/v3`.
    pub(crate) fn index(&self) -> Value {
        let entry = |(path, document): (&String, &Document)| {
            let url = format!("/openapi/v3/{path}?hash={}", document.hash);
            (path.clone(), json!({ "serverRelativeURL": url }))
        };
        json!({ "paths": self.0.iter().map(entry).collect::<Map<_, _>>() })
    }

    /// The document at `/openapi/v3/PATH`, as JSON.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(|document| document.content.as_str())
    }
}

/// The document of the kinds of one group and version.
fn document(kinds: &[&Kind]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut wanted: BTreeSet<String> = ["Status", "DeleteOptions", "ListMeta", "ObjectMeta"]
        .map(|name| format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"))
        .into();
    for kind in kinds {
        let name = definition_name(kind);
        add_paths(kind, &name, &mut paths);
        schemas.insert(name.clone(), definition(kind));
        schemas.insert(format!("{name}List"), list_definition(kind, &name));
        if kind.scale.is_some() {
            wanted.insert(builtin::definition_name("autoscaling", "v1", "Scale"));
        }
    }
    schemas
        .values()
        .for_each(|schema| references(schema, &mut wanted));
    // What is wanted refers to more.
    while let Some(name) = wanted.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        if let Some(schema) = DOCUMENTS.get(&name) {
            references(schema, &mut wanted);
            schemas.insert(name, schema.clone());
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.33.0" },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// Names of all definitions that a schema refers to.
fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                found.extend(reference.rsplit('/').next().map(str::to_owned));
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn definition_name(kind: &Kind) -> String {
    match kind.behaviour {
        Behaviour::Builtin(_) => builtin::definition_name(&kind.group, &kind.version, &kind.kind),
        Behaviour::Custom(_) => {
            let group: Vec<&str> = kind.group.rsplit('.').collect();
            format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
        }
    }
}

fn identity(kind: &Kind) -> Value {
    json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#{SCHEMAS}/{name}") })
}

fn meta(name: &str) -> Value {
    reference(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"))
}

fn definition(kind: &Kind) -> Value {
    let mut schema = match &kind.behaviour {
        Behaviour::Builtin(_) => DOCUMENTS
            .get(&definition_name(kind))
            .cloned()
            .unwrap_or_default(),
        Behaviour::Custom(custom) => {
            let mut schema = custom.version["schema"]["openAPIV3Schema"].clone();
            let properties = type_properties("ObjectMeta");
            for (field, property) in properties {
                schema["properties"][field] = property;
            }
            schema
        }
    };
    schema["x-kubernetes-group-version-kind"] = json!([identity(kind)]);
    schema
}

fn list_definition(kind: &Kind, name: &str) -> Value {
    let mut properties = type_properties("ListMeta");
    properties.insert(
        "items".to_owned(),
        json!({ "type": "array", "description": format!("Objects of kind {}.", kind.kind), "items": reference(name) }),
    );
    let identity = json!({ "group": kind.group, "version": kind.version, "kind": kind.list_kind });
    json!({
        "type": "object",
        "description": format!("A list of objects of kind {}.", kind.kind),
        "required": ["items"],
        "properties": properties,
        "x-kubernetes-group-version-kind": [identity],
    })
}

/// The fields that say what an object is.
fn type_properties(metadata: &str) -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let metadata = json!({
        "description": "Name, labels and the like, the same in all kinds.",
        "allOf": [meta(metadata)],
    });
    Map::from_iter([
        (
            "apiVersion".to_owned(),
            text("Version of the schema that the object follows."),
        ),
        ("kind".to_owned(), text("Kind of the object.")),
        ("metadata".to_owned(), metadata),
    ])
}

fn add_paths(kind: &Kind, name: &str, paths: &mut Map<String, Value>) {
    let prefix = if kind.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let root = format!("{prefix}/{}", kind.api_version());
    let namespaces = if kind.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{root}{namespaces}/{}", kind.plural);
    let list = reference(&format!("{name}List"));
    let object = reference(name);
    let operation =
        |action: &str, answer: &Value, body: bool| operation(kind, action, answer, body);
    if kind.is_review() {
        paths.insert(
            collection,
            json!({ "post": operation("post", &object, true) }),
        );
        return;
    }
    if kind.namespaced {
        let everywhere = format!("{root}/{}", kind.plural);
        paths.insert(
            everywhere,
            json!({ "get": operation("list", &list, false) }),
        );
    }
    paths.insert(
        collection.clone(),
        json!({
            "get": operation("list", &list, false),
            "post": operation("post", &object, true),
            "delete": operation("deletecollection", &meta("Status"), false),
        }),
    );
    let single = json!({
        "get": operation("get", &object, false),
        "put": operation("put", &object, true),
        "patch": operation("patch", &object, true),
        "delete": operation("delete", &meta("Status"), false),
    });
    if kind.status {
        let mut status = single.clone();
        if let Some(operations) = status.as_object_mut() {
            operations.remove("delete");
        }
        paths.insert(format!("{collection}/{{name}}/status"), status);
    }
    paths.insert(format!("{collection}/{{name}}"), single);
}

fn operation(kind: &Kind, action: &str, answer: &Value, body: bool) -> Value {
    let query = |name: &str, description: &str| {
        json!({
            "name": name, "in": "query", "description": description,
            "schema": { "type": "string", "uniqueItems": true },
        })
    };
    let mut parameters = Vec::new();
    if matches!(
        action,
        "post" | "put" | "patch" | "delete" | "deletecollection"
    ) {
        parameters.push(query("dryRun", "When it is All, nothing is stored."));
    }
    if body {
        parameters.push(query("fieldManager", "Name of whoever makes the change."));
        parameters.push(query(
            "fieldValidation",
            "Ignore, Warn or Strict: what unknown fields are.",
        ));
    }
    if action == "patch" {
        parameters.push(query(
            "force",
            "Whether an apply takes over fields of others.",
        ));
    }
    if action == "list" {
        for name in [
            "labelSelector",
            "fieldSelector",
            "limit",
            "continue",
            "resourceVersion",
            "watch",
        ] {
            parameters.push(query(name, "See the documentation of lists."));
        }
    }
    let content = json!({ "application/json": { "schema": answer } });
    let mut operation = json!({
        "description": format!("{action} {}", kind.kind),
        "parameters": parameters,
        "responses": { "200": { "description": "OK", "content": content } },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity(kind),
    });
    if body {
        operation["requestBody"] = json!({ "content": { "*/*": { "schema": answer } } });
    }
    operation
}

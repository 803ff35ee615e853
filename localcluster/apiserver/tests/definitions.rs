//! CustomResourceDefinitions are accepted and refused as Kubernetes does it, with its messages.
//!
//! The tables are in `definitions/`. Each case changes one definition, of `widgets.example.com`, that is
//! accepted:
//!
//! - `fields` are properties of `spec` in the schema,
//! - `schema` is merged into the schema as a JSON merge patch,
//! - `versions` replaces the versions; each is merged into the one that is there,
//! - `definition` is merged into the whole definition.
//!
//! `messages` are those of `k8s.io/apiextensions-apiserver` v0.34 and `warnings` those of its answer. In
//! them `SCHEMA` stands for the path of the schema, `FIELDS` for the path of the fields in `spec`, and `…`
//! for a value that is not printed as there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use kube::Client;
use kube::client::Body;
use localcluster_apiserver::{ApiServer, Config};
use serde::Deserialize;
use serde_json::{Value, json};

const SCHEMA: &str = "spec.validation.openAPIV3Schema";
const FIELDS: &str = "spec.validation.openAPIV3Schema.properties[spec].properties";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    fields: Option<Value>,
    #[serde(default)]
    schema: Value,
    #[serde(default)]
    versions: Vec<Value>,
    #[serde(default)]
    definition: Value,
    messages: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Case {
    /// The definition that the case is about.
    fn document(&self) -> Value {
        let mut schema =
            json!({ "type": "object", "properties": { "spec": { "type": "object" } } });
        merge(&mut schema, &self.schema);
        if let Some(fields) = &self.fields {
            schema["properties"]["spec"]["properties"] = fields.clone();
        }
        let version = json!({
            "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
        });
        let mut versions = vec![version.clone(); self.versions.len().max(1)];
        for (version, patch) in versions.iter_mut().zip(&self.versions) {
            merge(version, patch);
        }
        let mut document = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": "widgets.example.com" },
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": { "plural": "widgets", "kind": "Widget" },
                "versions": versions,
            },
        });
        merge(&mut document, &self.definition);
        document
    }
}

fn merge(target: &mut Value, patch: &Value) {
    if !patch.is_null() {
        json_patch::merge(target, patch);
    }
}

/// The server's opinion of a definition.
#[derive(Debug)]
struct Answer {
    messages: Vec<String>,
    warnings: Vec<String>,
}

async fn client() -> Client {
    ApiServer::open(Config::default()).await.unwrap().client()
}

async fn create(client: &Client, definition: &Value) -> Answer {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
    let request = http::Request::post(path)
        .body(Body::from(definition.to_string().into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let accepted = response.status().is_success();
    let mut warnings: Vec<String> = response
        .headers()
        .get_all("warning")
        .iter()
        .map(|header| {
            let text = header.to_str().unwrap().strip_prefix("299 - \"").unwrap();
            text.strip_suffix('"').unwrap().replace("\\\"", "\"")
        })
        .collect();
    warnings.sort();
    let body = response.into_body().collect_bytes().await.unwrap();
    let status: Value = serde_json::from_slice(&body).unwrap();
    let causes = status["details"]["causes"].as_array();
    let mut messages: Vec<String> = causes
        .into_iter()
        .flatten()
        .map(|cause| {
            let text = |key: &str| cause[key].as_str().unwrap();
            format!("{}: {}", text("field"), text("message"))
        })
        .collect();
    messages.sort();
    assert_eq!(accepted, messages.is_empty(), "{status}");
    Answer { messages, warnings }
}

/// Returns whether a message is the expected one, in which a value may be left out.
fn fits(expected: &str, message: &str) -> bool {
    match expected.split_once('…') {
        None => expected == message,
        Some((before, after)) => message.starts_with(before) && message.ends_with(after),
    }
}

async fn check(table: &str) {
    let cases: Vec<Case> = serde_yaml::from_str(table).unwrap();
    let client = client().await;
    let mut wrong = String::new();
    for case in &cases {
        let answer = create(&client, &case.document()).await;
        let mut messages: Vec<String> = answer
            .messages
            .iter()
            .map(|text| text.replace(FIELDS, "FIELDS").replace(SCHEMA, "SCHEMA"))
            .collect();
        messages.sort();
        let missing: Vec<&String> = case
            .messages
            .iter()
            .filter(|expected| !messages.iter().any(|message| fits(expected, message)))
            .collect();
        let unexpected: Vec<&String> = messages
            .iter()
            .filter(|message| !case.messages.iter().any(|expected| fits(expected, message)))
            .collect();
        let same = missing.is_empty() && unexpected.is_empty();
        if !same || messages.len() != case.messages.len() || answer.warnings != case.warnings {
            wrong += &format!(
                "{}\n  missing: {missing:#?}\n  unexpected: {unexpected:#?}\n  warnings: {:?}\n",
                case.name, answer.warnings
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_schema_is_structural() {
    check(include_str!("definitions/structure.yaml")).await;
}

#[tokio::test]
async fn a_default_is_a_value_that_its_field_can_have() {
    check(include_str!("definitions/defaults.yaml")).await;
}

#[tokio::test]
async fn lists_and_maps_merge_in_known_ways() {
    check(include_str!("definitions/lists.yaml")).await;
}

#[tokio::test]
async fn names_groups_and_scopes_have_their_forms() {
    check(include_str!("definitions/names.yaml")).await;
}

#[tokio::test]
async fn versions_agree_with_each_other() {
    check(include_str!("definitions/versions.yaml")).await;
}

#[tokio::test]
async fn a_time_that_defaults_to_nothing_is_refused() {
    let document = include_str!("definitions/canary-empty-times.yaml");
    let answer = create(&client().await, &serde_yaml::from_str(document).unwrap()).await;
    let expected = [
        "[checks].items.properties[time]",
        "[conditions].items.properties[lastTransitionTime]",
        "[conditions].items.properties[lastUpdateTime]",
    ]
    .map(|field| {
        format!(
            "{SCHEMA}.properties[status].properties{field}.default: Invalid value: \"\":  in body must be of type date-time: \"\""
        )
    });
    assert_eq!(answer.messages, expected);
}

#[tokio::test]
async fn a_definition_whose_messages_would_have_no_end_is_refused() {
    let fields = (0..1000).map(|index| (format!("f{index}"), json!({})));
    let schema = json!({
        "properties": { "x".repeat(100_000): { "properties": fields.collect::<Value>() } },
    });
    let case: Case = serde_json::from_value(json!({
        "name": "", "schema": schema, "messages": [],
    }))
    .unwrap();
    let answer = create(&client().await, &case.document()).await;
    let expected = format!("{SCHEMA}: Forbidden: has too many fields with long names");
    assert_eq!(answer.messages, [expected]);
}

#[tokio::test]
async fn the_definitions_of_the_controller_are_accepted() {
    let client = client().await;
    let manifest = include_str!("../../../manifests/controller/crds.yaml");
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let definition = Value::deserialize(document).unwrap();
        let answer = create(&client, &definition).await;
        assert!(answer.messages.is_empty(), "{:#?}", answer.messages);
        assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
    }
}

#[tokio::test]
async fn upstream_definitions_are_accepted() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../.local/bin/upstream-definitions.json"
    );
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{file}: {error}; ./run.sh tools fetches it"));
    let client = client().await;
    for line in text.lines() {
        let definition: Value = serde_json::from_str(line).unwrap();
        let answer = create(&client, &definition).await;
        let name = &definition["metadata"]["name"];
        assert!(answer.messages.is_empty(), "{name}: {:#?}", answer.messages);
    }
}

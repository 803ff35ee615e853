//! The three CustomResourceDefinitions, as objects and as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{AlertProvider, Canary, MetricTemplate, rules};

/// The CustomResourceDefinitions as JSON, ready to apply.
///
/// # Errors
/// Fails if a definition cannot be serialised, which is a bug in the types.
pub fn definitions() -> Result<Vec<Value>, serde_json::Error> {
    let mut canary = finish(Canary::crd(), true)?;
    let spec =
        &mut canary["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    // Flagger's rule: an analysis has exactly one of iterations, stepWeight and stepWeights.
    spec["required"] = json!(["targetRef", "analysis"]);
    spec["properties"]["analysis"]["oneOf"] = json!([
        { "required": ["interval", "threshold", "iterations"] },
        { "required": ["interval", "threshold", "stepWeight"] },
        { "required": ["interval", "threshold", "stepWeights"] },
    ]);
    rules::canary(spec);
    let mut template = finish(MetricTemplate::crd(), false)?;
    rules::metric_template(
        &mut template["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
    );
    Ok(vec![canary, template, finish(AlertProvider::crd(), false)?])
}

/// The definitions as one YAML stream.
///
/// # Errors
/// Fails if a definition cannot be serialised, which is a bug in the types.
pub fn definitions_yaml() -> anyhow::Result<String> {
    let mut text = String::new();
    for definition in definitions()? {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&definition)?);
    }
    Ok(text)
}

/// Adds what the derive leaves out: the annotation that makes Helm keep the definition on uninstall, and a status
/// subresource for every kind.
fn finish(crd: CustomResourceDefinition, has_status: bool) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(crd)?;
    value["metadata"]["annotations"] = json!({ "helm.sh/resource-policy": "keep" });
    let version = &mut value["spec"]["versions"][0];
    version["subresources"] = json!({ "status": {} });
    let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"];
    if has_status {
        drop_defaults(status);
    } else {
        *status = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    }
    drop_nulls(&mut value);
    Ok(value)
}

/// Removes every default from a schema. The derive adds serde's defaults, and an empty string is not a valid
/// `date-time`: the API server validates each default against its schema and rejects the whole definition. A status
/// needs no defaults because only the controller writes it.
fn drop_defaults(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    schema.remove("default");
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(drop_defaults);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            drop_defaults(inner);
        }
    }
}

/// Removes explicit `null`s. The API server drops them, so `kubectl diff` would always report a difference.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, entry| !entry.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

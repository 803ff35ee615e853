//! Converts the request and response changes in `spec.service` to filters of the Gateway API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{reference::with_defaults, unmappable::Unmappable};
use crate::{
    api::{HeaderOperations, Rewrite, ServiceSpec},
    objects::json::set_or_remove,
    release::duration::parse,
};

/// The filters of the canary's rule in Flagger's order: header modifiers, URL rewrite, mirrors, CORS.
pub(super) fn filters(spec: &ServiceSpec, problems: &mut Vec<Unmappable>) -> Vec<Value> {
    let mut filters = Vec::new();
    if let Some(headers) = &spec.headers {
        for (kind, field, operations) in [
            (
                "RequestHeaderModifier",
                "requestHeaderModifier",
                &headers.request,
            ),
            (
                "ResponseHeaderModifier",
                "responseHeaderModifier",
                &headers.response,
            ),
        ] {
            if let Some(operations) = operations {
                filters.push(json!({ "type": kind, field: modifier(operations) }));
            }
        }
    }
    if let Some(rewrite) = &spec.rewrite {
        filters.push(json!({ "type": "URLRewrite", "urlRewrite": url_rewrite(rewrite) }));
    }
    for mirror in spec.mirror.iter().flatten() {
        let mut mirror = mirror.clone();
        mirror["backendRef"] = with_defaults(&mirror["backendRef"], "", "Service");
        filters.push(json!({ "type": "RequestMirror", "requestMirror": mirror }));
    }
    if let Some(policy) = &spec.cors_policy {
        filters.push(json!({ "type": "CORS", "cors": cors(policy, problems) }));
    }
    filters
}

fn modifier(operations: &HeaderOperations) -> Value {
    let list = |headers: &Option<BTreeMap<String, String>>| {
        let headers = headers.as_ref().filter(|headers| !headers.is_empty())?;
        let pairs = headers.iter();
        Some(
            pairs
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect(),
        )
    };
    let remove = operations.remove.as_ref().filter(|names| !names.is_empty());
    let mut fields = Map::new();
    set_or_remove(&mut fields, "add", list(&operations.add));
    set_or_remove(&mut fields, "set", list(&operations.set));
    set_or_remove(&mut fields, "remove", remove.map(|names| json!(names)));
    Value::Object(fields)
}

/// Flagger: the full path is replaced unless `type` is `ReplacePrefixMatch`.
fn url_rewrite(rewrite: &Rewrite) -> Value {
    const PREFIX: &str = "ReplacePrefixMatch";
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let path = given(&rewrite.uri).map(|uri| {
        if rewrite.type_.as_deref() == Some(PREFIX) {
            json!({ "type": PREFIX, "replacePrefixMatch": uri })
        } else {
            json!({ "type": "ReplaceFullPath", "replaceFullPath": uri })
        }
    });
    let mut fields = Map::new();
    set_or_remove(
        &mut fields,
        "hostname",
        given(&rewrite.authority).map(Value::from),
    );
    set_or_remove(&mut fields, "path", path);
    Value::Object(fields)
}

/// Default of the Gateway API for how long a browser may cache a preflight response, in seconds.
const MAX_AGE: u64 = 5;

fn cors(policy: &Value, problems: &mut Vec<Unmappable>) -> Value {
    let list = |field: &str| policy[field].as_array().cloned().unwrap_or_default();
    let mut origins = list("allowOrigin");
    for (index, origin) in list("allowOrigins").iter().enumerate() {
        match origin["exact"].as_str() {
            Some(exact) => origins.push(json!(exact)),
            None => problems.push(Unmappable::new(
                format!("corsPolicy.allowOrigins[{index}]"),
                "only exact origins are supported",
            )),
        }
    }
    let max_age = match policy["maxAge"].as_str().map(parse) {
        None => MAX_AGE,
        Some(Some(age)) => age.as_secs(),
        Some(None) => {
            let why = "it is not a duration such as 30s or 24h";
            problems.push(Unmappable::new("corsPolicy.maxAge", why));
            MAX_AGE
        }
    };
    let mut fields = Map::from_iter([("maxAge".to_owned(), json!(max_age))]);
    let given = |list: Vec<Value>| Some(list).filter(|list| !list.is_empty()).map(Value::Array);
    set_or_remove(&mut fields, "allowOrigins", given(origins));
    for field in ["allowMethods", "allowHeaders", "exposeHeaders"] {
        set_or_remove(&mut fields, field, given(list(field)));
    }
    let credentials = policy["allowCredentials"].as_bool();
    set_or_remove(
        &mut fields,
        "allowCredentials",
        credentials.map(Value::from),
    );
    Value::Object(fields)
}

//! Aggregated discovery: everything served, in one document for `/api` and one for `/apis`.

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Map, Value, json};

use crate::registry::{Catalog, Kind};

/// Media type of the documents.
pub(crate) const MEDIA_TYPE: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Returns whether the client would rather have this than a list of groups.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept.split(',').any(|range| {
        let parameters: Vec<&str> = range.split(';').map(str::trim).collect();
        parameters.first() == Some(&"application/json")
            && ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"]
                .iter()
                .all(|wanted| parameters.contains(wanted))
    })
}

/// The resources of a group by version.
type Versions = Vec<(String, Vec<Value>)>;

/// The document of the core group or that of all others. `resources` lists a kind's resource and
/// subresources as plain discovery does.
pub(crate) fn document(
    catalog: &Catalog,
    core: bool,
    resources: impl Fn(&Kind) -> Vec<Value>,
) -> Value {
    let mut groups: Vec<(String, Versions)> = Vec::new();
    for kind in catalog.iter().filter(|kind| kind.group.is_empty() == core) {
        if groups.last().is_none_or(|(group, _)| *group != kind.group) {
            groups.push((kind.group.clone(), Vec::new()));
        }
        let Some((_, versions)) = groups.last_mut() else {
            continue;
        };
        if versions
            .last()
            .is_none_or(|(version, _)| *version != kind.version)
        {
            versions.push((kind.version.clone(), Vec::new()));
        }
        let Some((_, listed)) = versions.last_mut() else {
            continue;
        };
        listed.push(resource(kind, &resources(kind)));
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|(version, resources)| {
                    json!({ "version": version, "freshness": "Current", "resources": resources })
                })
                .collect();
            json!({ "metadata": { "name": group, "creationTimestamp": null }, "versions": versions })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn resource(kind: &Kind, plain: &[Value]) -> Value {
    let response = |resource: &Value| {
        let text = |key: &str, default: &str| resource[key].as_str().unwrap_or(default).to_owned();
        json!({
            "group": text("group", &kind.group),
            "version": text("version", &kind.version),
            "kind": resource["kind"],
        })
    };
    let (main, subresources) = plain
        .split_first()
        .map_or((&Value::Null, plain), |split| split);
    let mut entry = Map::new();
    entry.insert("resource".to_owned(), kind.plural.clone().into());
    entry.insert("responseKind".to_owned(), response(main));
    let scope = if kind.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    entry.insert("scope".to_owned(), scope.into());
    entry.insert("singularResource".to_owned(), kind.singular.clone().into());
    for field in ["verbs", "shortNames", "categories"] {
        if let Some(value) = main.get(field) {
            entry.insert(field.to_owned(), value.clone());
        }
    }
    let subresources: Vec<Value> = subresources
        .iter()
        .map(|subresource| {
            let name = subresource["name"]
                .as_str()
                .and_then(|name| name.split_once('/'));
            json!({
                "subresource": name.map_or("", |(_, name)| name),
                "responseKind": response(subresource),
                "verbs": subresource["verbs"],
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry.insert("subresources".to_owned(), subresources.into());
    }
    Value::Object(entry)
}

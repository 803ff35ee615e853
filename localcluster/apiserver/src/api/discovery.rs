//! What the server serves, as clients ask for it.

use axum::response::Response;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::server::Call;
use super::{aggregated, render};
use crate::registry::{Behaviour, Catalog, Kind};
use crate::status::ApiError;

const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Kubernetes version whose API this server speaks.
const GIT_VERSION: &str = "v1.33.0+localcluster";

const ALL_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Answers a `GET` of a path that is not about objects.
pub(crate) fn answer(call: &Call, path: &str) -> Result<Response, ApiError> {
    let catalog = call.server.catalog();
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let ok = |value: &Value| Ok(render::json(StatusCode::OK, value));
    match segments.as_slice() {
        ["version"] => ok(&version()),
        ["healthz" | "livez" | "readyz", ..] => Ok(render::text("ok")),
        ["api" | "apis"] if aggregated::is_wanted(&call.headers) => {
            let document = aggregated::document(&catalog, segments == ["api"], resources);
            Ok(render::raw(aggregated::MEDIA_TYPE, document.to_string()))
        }
        ["api"] => ok(&json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["apis"] => ok(&group_list(&catalog)),
        ["api", version] => resource_list(&catalog, "", version),
        ["apis", group] => groups(&catalog)
            .into_iter()
            .find(|found| found["name"] == *group)
            .map(|mut found| {
                found["kind"] = "APIGroup".into();
                found["apiVersion"] = "v1".into();
                render::json(StatusCode::OK, &found)
            })
            .ok_or_else(ApiError::no_such_path),
        ["apis", group, version] => resource_list(&catalog, group, version),
        ["metrics"] => Ok(render::text(call.server.requests.render())),
        ["openapi", "v2"] => Ok(openapi_v2(&call.headers)),
        ["openapi", "v3"] => ok(&catalog.openapi().index()),
        ["openapi", "v3", path @ ..] => catalog
            .openapi()
            .get(&path.join("/"))
            .map(|document| render::raw("application/json", document.to_owned()))
            .ok_or_else(ApiError::no_such_path),
        _ => Err(ApiError::no_such_path()),
    }
}

/// Everything is described in OpenAPI v3. kubectl asks for the older documents about kinds that are not
/// served; an empty document lets it say that it knows no such kind.
fn openapi_v2(headers: &HeaderMap) -> Response {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if accept.contains("proto-openapi.spec.v2") {
        // Field 1, the version of the format.
        return render::raw(OPENAPI_V2_PROTOBUF, "\n\u{3}2.0".to_owned());
    }
    let info = json!({ "title": "Kubernetes", "version": GIT_VERSION });
    let document = json!({ "swagger": "2.0", "info": info, "paths": {}, "definitions": {} });
    render::json(StatusCode::OK, &document)
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn groups(catalog: &Catalog) -> Vec<Value> {
    let mut groups: Vec<Value> = Vec::new();
    for kind in catalog.iter().filter(|kind| !kind.group.is_empty()) {
        let version = json!({ "groupVersion": kind.api_version(), "version": kind.version });
        match groups
            .last_mut()
            .filter(|group| group["name"] == kind.group.as_str())
        {
            Some(group) => {
                if let Some(versions) = group["versions"].as_array_mut()
                    && !versions.contains(&version)
                {
                    versions.push(version);
                }
            }
            None => groups.push(json!({
                "name": kind.group,
                "versions": [version],
                "preferredVersion": version,
            })),
        }
    }
    groups
}

fn group_list(catalog: &Catalog) -> Value {
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups(catalog) })
}

fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Result<Response, ApiError> {
    let resources: Vec<Value> = catalog
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .flat_map(|kind| resources(kind))
        .collect();
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(render::json(
        StatusCode::OK,
        &json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": resources,
        }),
    ))
}

/// The resource and its subresources.
fn resources(kind: &Kind) -> Vec<Value> {
    let verbs: &[&str] = if kind.is_review() {
        &["create"]
    } else {
        &ALL_VERBS
    };
    let mut main = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs,
    });
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    let subresource = |name: &str, of: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": of,
            "verbs": verbs,
        })
    };
    let mut list = vec![main];
    if kind.status {
        list.push(subresource(
            "status",
            &kind.kind,
            &["get", "patch", "update"],
        ));
    }
    if kind.scale.is_some() {
        let mut scale = subresource("scale", "Scale", &["get", "patch", "update"]);
        scale["group"] = "autoscaling".into();
        scale["version"] = "v1".into();
        list.push(scale);
    }
    if let Behaviour::Builtin(builtin) = kind.behaviour {
        list.extend(
            builtin
                .extra
                .iter()
                .map(|(name, of, verb)| subresource(name, of, &[verb])),
        );
    }
    list
}

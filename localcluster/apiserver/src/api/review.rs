//! The kinds that are questions: who am I, whose token is this, may I.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::authz::Action;
use super::request::ResourceRequest;
use super::server::Call;
use super::user::User;
use super::{body, render};
use crate::object;
use crate::registry::Kind;
use crate::status::ApiError;

/// Answers `create` of a review.
pub(crate) fn create(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let mut review = body::decode_object(call, kind, request)?;
    let status = match kind.plural.as_str() {
        "selfsubjectreviews" => json!({ "userInfo": user_info(&call.user) }),
        "tokenreviews" => token_status(call, object::text(&review, "/spec/token")),
        "selfsubjectrulesreviews" => rules_status(call, object::text(&review, "/spec/namespace")),
        "selfsubjectaccessreviews" => access_status(call, &call.user, &review["spec"])?,
        _ => access_status(call, &subject(&review["spec"]), &review["spec"])?,
    };
    object::fields(&mut review).insert("status".to_owned(), status);
    let metadata = object::metadata(&mut review);
    metadata.insert("creationTimestamp".to_owned(), Value::Null);
    Ok(render::json(StatusCode::CREATED, &review))
}

fn user_info(user: &User) -> Value {
    json!({ "username": user.name, "groups": user.groups })
}

/// The user whom a `SubjectAccessReview` asks about.
fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: object::text(spec, "/user").to_owned(),
        groups: groups
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
    }
}

fn token_status(call: &Call, token: &str) -> Value {
    match call.server.user_of_token(token) {
        Some(user) => json!({ "authenticated": true, "user": user_info(&user) }),
        None => {
            json!({ "authenticated": false, "error": "the token is not valid here or expired" })
        }
    }
}

fn rules_status(call: &Call, namespace: &str) -> Value {
    let rules = call.server.rules(&call.user, namespace);
    let (paths, resources): (Vec<Value>, Vec<Value>) = rules.into_iter().partition(|rule| {
        rule["nonResourceURLs"]
            .as_array()
            .is_some_and(|urls| !urls.is_empty())
    });
    json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false })
}

fn access_status(call: &Call, user: &User, spec: &Value) -> Result<Value, ApiError> {
    let resource = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let action = match (resource.is_object(), path.is_object()) {
        (true, false) => Action::Resource {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: match text(resource, "subresource") {
                none if none.is_empty() => text(resource, "resource"),
                subresource => format!("{}/{subresource}", text(resource, "resource")),
            },
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
        },
        (false, true) => Action::Path {
            verb: text(path, "verb"),
            path: text(path, "path"),
        },
        _ => {
            return Err(ApiError::bad_request(
                "exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be given",
            ));
        }
    };
    Ok(json!({ "allowed": call.server.allows(user, &action) }))
}

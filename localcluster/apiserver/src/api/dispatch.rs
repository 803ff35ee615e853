//! The one entry point of all requests: authenticates, authorizes, and hands each to its verb.

use crate::status::ApiError;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::authz::{self, Action};
use super::request::{Query, ResourceRequest, Target, Verb};
use super::server::{Call, Server};
use super::user::User;
use super::{
    authn, body, create, delete, discovery, impersonate, logs, patch, read, review, scale, token,
    update, watch,
};
use crate::admission::Answer;
use crate::registry::Kind;

/// Largest request body, as upstream: three mebibytes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// The router, for requests that carry a [`User`] as extension.
pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new().fallback(handle).with_state(server)
}

/// The router, for requests that carry a bearer token.
pub(crate) fn authenticating_router(server: Arc<Server>) -> Router {
    let check = axum::middleware::from_fn_with_state(server.clone(), authn::authenticate);
    router(server).layer(check)
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    answer(server, request)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn answer(server: Arc<Server>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let user = parts
        .extensions
        .get::<User>()
        .cloned()
        .ok_or_else(|| ApiError::internal("the request was not authenticated"))?;
    let user = impersonate::effective_user(&server, user, &parts.headers)?;
    let query = Query::parse(&parts.uri)?;
    let target = Target::parse(&parts.method, parts.uri.path(), &query);
    let body = read_body(body).await?;
    let call = Call::new(server, user, parts.headers, query, body);
    let path = parts.uri.path();
    let changed = changed_answer(&call.server, &target, &parts.method, path);
    let takes_effect = changed.as_ref().is_none_or(|answer| answer.takes_effect);
    if let (Some(answer), false) = (&changed, takes_effect) {
        tokio::time::sleep(answer.delay).await;
    }
    let refused = changed.as_ref().and_then(|answer| answer.failure.clone());
    let mut response = match refused.filter(|_| !takes_effect) {
        Some(failure) => failure.into_response(),
        None => allowed_answer(&call, &target, &parts.method, path)
            .await
            .unwrap_or_else(IntoResponse::into_response),
    };
    if let (Some(answer), true) = (&changed, takes_effect) {
        tokio::time::sleep(answer.delay).await;
        if let Some(failure) = answer.failure.clone() {
            response = failure.into_response();
        }
    }
    call.add_warnings(&mut response);
    let request = match &target {
        // Anybody can ask for anything; only what exists gets a counter.
        Target::Resource(request) => call
            .server
            .catalog()
            .find(&request.group, &request.version, &request.resource)
            .is_ok()
            .then_some(request),
        Target::Path => None,
    };
    let applies = body::media_type(&call.headers) == patch::APPLY;
    let code = response.status().as_u16();
    call.server
        .requests
        .count(request, applies, code, &call.user.name);
    Ok(response)
}

/// The switch that changes the answer to this request, if a test set one.
fn changed_answer(server: &Server, target: &Target, method: &Method, path: &str) -> Option<Answer> {
    let (verb, resource) = match target {
        Target::Resource(request) => {
            let mut resource = request.resource.clone();
            for (separator, part) in [(".", &request.group), ("/", &request.subresource)] {
                if !part.is_empty() {
                    resource.push_str(separator);
                    resource.push_str(part);
                }
            }
            (request.verb.as_str().to_owned(), resource)
        }
        Target::Path => (method.as_str().to_lowercase(), String::new()),
    };
    server.admission.answer(&verb, &resource, path)
}

/// Answers a request if its sender may make it.
async fn allowed_answer(
    call: &Call,
    target: &Target,
    method: &Method,
    path: &str,
) -> Result<Response, ApiError> {
    let action = match target {
        Target::Resource(request) => Action::of(request),
        Target::Path => Action::Path {
            verb: method.as_str().to_lowercase(),
            path: path.to_owned(),
        },
    };
    if !call.server.allows(&call.user, &action) {
        return Err(authz::forbidden(&call.user, &action));
    }
    match target {
        Target::Path if method == Method::GET => discovery::answer(call, path),
        Target::Path => Err(ApiError::method_not_allowed()),
        Target::Resource(request) => dispatch(call, request).await,
    }
}

async fn dispatch(call: &Call, request: &ResourceRequest) -> Result<Response, ApiError> {
    let kind = call
        .server
        .catalog()
        .find(&request.group, &request.version, &request.resource)?;
    let request = normalised(&kind, request)?;
    call.server.expire_events(&kind);
    if kind.is_review() {
        return match request.verb {
            Verb::Create => review::create(call, &kind, &request),
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    match (request.verb, request.subresource.as_str()) {
        (Verb::Get, "" | "status") => read::get(call, &kind, &request),
        (Verb::List, "") => read::list(call, &kind, &request),
        (Verb::Watch, "") => watch::watch(call, &kind, &request),
        (Verb::Create, "") => create::create(call, &kind, &request).await,
        (Verb::Get, "log") => logs::answer(call, &kind, &request).await,
        (Verb::Get | Verb::Update | Verb::Patch, "scale") => {
            scale::answer(call, &kind, &request).await
        }
        (_, "exec" | "attach" | "portforward") => Err(unavailable(&request.subresource)),
        (Verb::Create, "token") => token::create(call, &kind, &request),
        (Verb::Update, "" | "status" | "finalize") => update::update(call, &kind, &request).await,
        (Verb::Patch, "" | "status") => patch::patch(call, &kind, &request).await,
        (Verb::Delete, "") => delete::delete(call, &kind, &request).await,
        (Verb::DeleteCollection, "") => delete::delete_collection(call, &kind, &request).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The answer for streams into pods, which are processes of this machine.
fn unavailable(subresource: &str) -> ApiError {
    let instead = match subresource {
        "portforward" => {
            "a pod listens on its own loopback address, shown by `kubectl get pods -o wide`"
        }
        _ => {
            "a pod is a process of this machine: use a shell here, and `kubectl logs` for its output"
        }
    };
    let message = format!("localcluster offers no {subresource}: {instead}");
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
}

/// Checks that the path fits the kind: namespaced or not, known subresource.
fn normalised(kind: &Kind, request: &ResourceRequest) -> Result<ResourceRequest, ApiError> {
    let mut request = request.clone();
    if !kind.namespaced {
        if !request.namespace.is_empty() && !kind.is("", "namespaces") {
            return Err(ApiError::no_such_path());
        }
        request.namespace = String::new();
    } else if request.namespace.is_empty() {
        let across = matches!(request.verb, Verb::List | Verb::Watch);
        if !request.name.is_empty() {
            return Err(ApiError::no_such_path());
        }
        if !across {
            return Err(ApiError::method_not_allowed());
        }
    }
    if request.name.is_empty() && matches!(request.verb, Verb::Update | Verb::Patch) {
        return Err(ApiError::method_not_allowed());
    }
    match request.subresource.as_str() {
        "" => {}
        "status" if kind.status => {}
        "scale" if kind.scale.is_some() => {}
        "exec" | "attach" | "portforward" if kind.is("", "pods") => {}
        name if kind.has_subresource(name) => {}
        _ => return Err(ApiError::no_such_path()),
    }
    Ok(request)
}

async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {MAX_BODY}"),
        )),
        Err(error) => Err(ApiError::bad_request(format!(
            "cannot read the request body: {error}"
        ))),
    }
}

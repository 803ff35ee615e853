//! The shared state and the one entry point of all requests.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::WARNING;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use serde_json::Value;

use super::authz::{self, Action};
use super::request::{Query, ResourceRequest, Target, Verb};
use super::requests::RequestCounter;
use super::{
    ApiError, authn, body, create, definitions, delete, discovery, impersonate, logs, patch, read,
    review, scale, token, update, watch,
};
use crate::admission::{Admission, Answer};
use crate::clock::Clock;
use crate::registry::{Catalog, Kind, custom};
use crate::store::disk::DiskError;
use crate::store::{Expect, LogError, Record, Store};
use crate::tokens::Tokens;
use crate::{Config, Error};

/// Largest request body, as upstream: three mebibytes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    /// Where the kubelet keeps the logs of containers.
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) requests: RequestCounter,
    pub(crate) admission: Arc<Admission>,
    /// When events were last looked at for old ones.
    pub(crate) expired_at: Mutex<Option<Timestamp>>,
    catalog: RwLock<Arc<Catalog>>,
}

impl Server {
    pub(crate) fn new(store: Store, config: &Config, tokens: Tokens) -> Result<Self, Error> {
        let catalog = RwLock::new(Arc::new(custom::catalog(&store)));
        Ok(Self {
            store: Arc::new(store),
            clock: config.clock.clone(),
            tokens,
            log_dir: config.log_dir.clone(),
            requests: RequestCounter::new()?,
            admission: Arc::clone(&config.admission),
            expired_at: Mutex::default(),
            catalog,
        })
    }

    /// What is served now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes an object and waits until it is on disk.
    pub(crate) async fn put(
        &self,
        kind: &Kind,
        key: &str,
        object: Value,
        expect: Expect,
    ) -> Result<Arc<Record>, WriteError> {
        self.settle(kind, self.store.put(key, object, expect)?)
            .await
    }

    /// Removes an object, in its last state, and waits until that is on disk.
    pub(crate) async fn remove(
        &self,
        kind: &Kind,
        key: &str,
        last: Value,
        revision: u64,
    ) -> Result<Arc<Record>, WriteError> {
        let record = self.store.delete(key, Some(last), Some(revision))?;
        let record = self.settle(kind, record).await?;
        if let Some(definition) = definitions::defined_by(kind) {
            // It may have waited for this object.
            self.release_definition(definition).await?;
        }
        Ok(record)
    }

    async fn settle(&self, kind: &Kind, record: Arc<Record>) -> Result<Arc<Record>, WriteError> {
        if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
            let mut served = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            *served = Arc::new(custom::catalog(&self.store));
        }
        self.store.durable(record.revision).await?;
        Ok(record)
    }
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The object is not as expected; nothing was written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The write may be lost.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl WriteError {
    /// The answer for a write of the object called `name`.
    pub(crate) fn answer(self, kind: &Kind, name: &str) -> ApiError {
        match self {
            Self::Log(LogError::Exists(_)) => ApiError::already_exists(kind, name),
            Self::Log(LogError::Missing(_)) => ApiError::not_found(kind, name),
            Self::Log(LogError::Conflict { .. }) => ApiError::modified(kind, name),
            Self::Log(other) => other.into(),
            Self::Disk(error) => error.into(),
        }
    }

    /// Whether somebody else wrote the object since it was read.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Log(LogError::Conflict { .. }))
    }
}

/// A request on its way to its verb.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) user: User,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    warnings: Mutex<Vec<String>>,
}

impl Call {
    /// Tells the client something that is no error; each text once.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text.into();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Adds the warnings to an answer.
    fn add_warnings(&self, response: &mut Response) {
        for text in self
            .warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(WARNING, value);
            }
        }
    }
}

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
    let call = Call {
        server,
        user,
        headers: parts.headers,
        query,
        body,
        warnings: Mutex::default(),
    };
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

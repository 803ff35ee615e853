//! The HTTP paths. Where Flagger's load tester has the same path, the response is the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get};
use axum::{Json, Router};
use http_body_util::LengthLimitError;
use regex_lite::Regex;
use tracing::{info, warn};

use super::gates::{Gate, GateError, Gates};
use super::job::{Job, Rules};
use super::metrics::Metrics;
use super::payload::Payload;
use super::tasks::{Rejected, Tasks, one_line, unix_seconds};

/// Maximum size of a webhook's body, which usually has a few hundred bytes.
const LARGEST_BODY: usize = 64 * 1024;
/// Time limit for a body.
const BODY_TIME: Duration = Duration::from_secs(5);

/// State that the handlers share.
pub(crate) struct Service {
    /// Tasks.
    pub tasks: Arc<Tasks>,
    /// Gates.
    pub gates: Gates,
    /// Rules for jobs.
    pub rules: Rules,
    /// The server's metrics.
    pub metrics: Metrics,
    /// Namespaces whose canaries may call; `None` allows all.
    pub namespaces: Option<Regex>,
    /// Secret that callers must send.
    pub token: Option<String>,
}

type Shared = State<Arc<Service>>;

/// An error response.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // The caller gets the text once; the log keeps it for the operator.
        warn!(status = self.0.as_u16(), "{}", one_line(&self.1));
        (self.0, self.1).into_response()
    }
}

impl From<GateError> for Refused {
    fn from(error: GateError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<Rejected> for Refused {
    fn from(error: Rejected) -> Self {
        let status = match error {
            Rejected::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::TOO_MANY_REQUESTS,
        };
        Self(status, error.to_string())
    }
}

/// All routes. As in Flagger's load tester, any other path accepts a task, with any method.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route("/gate/approve", any(async || "OK"))
        .route(
            "/gate/halt",
            any(async || (StatusCode::FORBIDDEN, "Forbidden")),
        )
        .route("/gate/check", any(check_gate))
        .route("/gate/open", any(open_gate))
        .route("/gate/close", any(close_gate))
        .route("/rollback/check", any(check_rollback))
        .route("/rollback/open", any(open_rollback))
        .route("/rollback/close", any(close_rollback))
        .route("/gates", get(list_gates))
        .route("/tasks", get(list_tasks))
        .route("/tasks/{id}", delete(cancel_task))
        .route("/metrics", get(scrape))
        .fallback(run_task)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&service),
            authenticate,
        ))
        .route("/healthz", any(async || "OK"))
        .with_state(service)
}

async fn run_task(State(service): Shared, request: Request) -> Response {
    let response = match submit(&service, request).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    };
    service
        .metrics
        .webhooks
        .with_label_values(&[response.status().as_str()])
        .inc();
    response
}

async fn submit(service: &Service, request: Request) -> Result<Response, Refused> {
    let payload = read_payload(service, request.into_body()).await?;
    let bad = |error: super::job::BadJob| Refused(StatusCode::BAD_REQUEST, error.to_string());
    let job = service.rules.job(&payload).map_err(bad)?;
    let awaited = matches!(job, Job::Program { awaited: true, .. });
    let submitted = service.tasks.submit(&payload, job)?;
    if let Some(verdict) = submitted.verdict {
        return Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, verdict));
    }
    if !awaited {
        let location = format!("/tasks/{}", submitted.id);
        return Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response());
    }
    let already = || {
        Refused(
            StatusCode::CONFLICT,
            "this command is already running".to_owned(),
        )
    };
    let end = submitted.end.ok_or_else(already)?;
    let gone = |_| {
        Refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the task was lost".to_owned(),
        )
    };
    let end = end.await.map_err(gone)?;
    if !end.is_success() {
        let command = payload.get("cmd").unwrap_or_default();
        let message = format!(
            "command {command} failed: {}: {}",
            end.output.trim_end(),
            end.state
        );
        return Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    let output = if payload.is_set("returnCmdOutput") {
        end.output
    } else {
        String::new()
    };
    Ok(output.into_response())
}

/// Reads a body within its limits and checks its namespace.
async fn read_payload(service: &Service, body: Body) -> Result<Payload, Refused> {
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, LARGEST_BODY));
    let body = match read.await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let cause = error.into_inner();
            return Err(if cause.is::<LengthLimitError>() {
                let message = "the body is larger than 64 KiB".to_owned();
                Refused(StatusCode::PAYLOAD_TOO_LARGE, message)
            } else {
                let message = format!("the body cannot be read: {cause}");
                Refused(StatusCode::BAD_REQUEST, message)
            });
        }
        Err(_) => {
            let message = "the body did not arrive within 5 seconds".to_owned();
            return Err(Refused(StatusCode::REQUEST_TIMEOUT, message));
        }
    };
    let bad =
        |error: super::payload::BadPayload| Refused(StatusCode::BAD_REQUEST, error.to_string());
    let payload = Payload::parse(&body).map_err(bad)?;
    let allowed = |expression: &Regex| expression.is_match(&payload.namespace);
    if service
        .namespaces
        .as_ref()
        .is_some_and(|expression| !allowed(expression))
    {
        return Err(Refused(StatusCode::FORBIDDEN, "Forbidden".to_owned()));
    }
    Ok(payload)
}

#[derive(Clone, Copy)]
enum GateKind {
    Advance,
    Rollback,
}

impl GateKind {
    fn key(self, payload: &Payload) -> String {
        match self {
            Self::Advance => payload.canary(),
            Self::Rollback => format!("rollback.{}", payload.canary()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Advance => "gate",
            Self::Rollback => "rollback",
        }
    }
}

async fn check_gate(State(service): Shared, body: Body) -> Result<Response, Refused> {
    check(&service, GateKind::Advance, body).await
}

async fn check_rollback(State(service): Shared, body: Body) -> Result<Response, Refused> {
    check(&service, GateKind::Rollback, body).await
}

async fn open_gate(State(service): Shared, by: Caller, body: Body) -> Result<StatusCode, Refused> {
    set(&service, GateKind::Advance, true, by, body).await
}

async fn close_gate(State(service): Shared, by: Caller, body: Body) -> Result<StatusCode, Refused> {
    set(&service, GateKind::Advance, false, by, body).await
}

async fn open_rollback(
    State(service): Shared,
    by: Caller,
    body: Body,
) -> Result<StatusCode, Refused> {
    set(&service, GateKind::Rollback, true, by, body).await
}

async fn close_rollback(
    State(service): Shared,
    by: Caller,
    body: Body,
) -> Result<StatusCode, Refused> {
    set(&service, GateKind::Rollback, false, by, body).await
}

async fn check(service: &Service, kind: GateKind, body: Body) -> Result<Response, Refused> {
    let payload = read_payload(service, body).await?;
    let open = service.gates.is_open(&kind.key(&payload)).await?;
    info!(
        canary = payload.canary(),
        "{} check: approved {open}",
        kind.name()
    );
    Ok(if open {
        "Approved".into_response()
    } else {
        (StatusCode::FORBIDDEN, "Forbidden").into_response()
    })
}

async fn set(
    service: &Service,
    kind: GateKind,
    open: bool,
    Caller(by): Caller,
    body: Body,
) -> Result<StatusCode, Refused> {
    let payload = read_payload(service, body).await?;
    let gate = Gate {
        open,
        changed_by: by,
        changed_at: Some(unix_seconds()),
    };
    service.gates.set(&kind.key(&payload), gate).await?;
    let done = if open { "opened" } else { "closed" };
    info!(canary = payload.canary(), "{} {done}", kind.name());
    Ok(StatusCode::ACCEPTED)
}

async fn list_gates(State(service): Shared) -> Result<Response, Refused> {
    Ok(Json(service.gates.all().await?).into_response())
}

async fn list_tasks(State(service): Shared) -> Response {
    Json(service.tasks.list()).into_response()
}

async fn cancel_task(
    State(service): Shared,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let found = id.parse().is_ok_and(|id| service.tasks.cancel(id));
    let missing = || Refused(StatusCode::NOT_FOUND, format!("no task {id} is running"));
    if found {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(missing())
    }
}

async fn scrape(State(service): Shared) -> Result<Response, Refused> {
    let text = service.metrics.text();
    let text = text.map_err(|e| Refused(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

/// The caller: its address, after the name from basic authentication. With a token, anybody who knows it may choose any name.
struct Caller(String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ip = address.map(|ConnectInfo(address)| address.ip());
        let ip = ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        let credentials = basic_credentials(&parts.headers);
        Ok(Self(match credentials {
            Some((name, _)) if !name.is_empty() => format!("{name} ({ip})"),
            _ => ip,
        }))
    }
}

async fn authenticate(State(service): Shared, request: Request, next: Next) -> Response {
    let known = service
        .token
        .as_deref()
        .is_none_or(|token| presents(request.headers(), token));
    if !known {
        let challenge = [(
            header::WWW_AUTHENTICATE,
            "Bearer, Basic realm=\"loadtester\"",
        )];
        return (
            StatusCode::UNAUTHORIZED,
            challenge,
            "the token is missing or wrong",
        )
            .into_response();
    }
    next.run(request).await
}

/// True if the headers contain the token, as bearer token or as password of basic authentication. Flagger sends the latter for
/// a webhook URL such as `http://token:SECRET@flagger-loadtester.default/`.
fn presents(headers: &HeaderMap, token: &str) -> bool {
    let value = headers.get(header::AUTHORIZATION);
    let bearer = value
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .is_some_and(|bearer| same(bearer.trim(), token));
    bearer || basic_credentials(headers).is_some_and(|(_, password)| same(&password, token))
}

/// Name and password of basic authentication.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine as _;
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let encoded = value.strip_prefix("Basic ")?.trim();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    // People read the name, so it must not begin a new line.
    let name = name.chars().filter(|c| !c.is_control()).take(100).collect();
    Some((name, password.to_owned()))
}

/// Compares in a time that does not depend on how many bytes are equal.
fn same(given: &str, expected: &str) -> bool {
    let differences = given
        .bytes()
        .zip(expected.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == expected.len() && differences == 0
}

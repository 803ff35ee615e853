//! The rollout page: canaries as a web page, as JSON and as streams of server-sent events. Read-only.
//!
//! | path | response |
//! |---|---|
//! | `/` | all canaries, HTML |
//! | `/canaries/NAMESPACE/NAME` | one canary, HTML |
//! | `/api/canaries` | `{"controller": `[`Watcher`]`, "canaries": [`[`Summary`]`, …]}` |
//! | `/api/canaries/NAMESPACE/NAME` | [`Report`] |
//! | `/api/watch` | a stream: an event `canary` with a [`Report`] for every canary at the start and for each change, and an event `deleted` with `{"namespace", "name"}` |
//!
//! Errors below `/api` are `{"error": "…"}`. The two HTML paths answer a request that accepts `text/event-stream` with a
//! stream of the changes of that page. So there is one renderer, and the page's script only replaces elements.
//!
//! # Guarantees
//! All data comes from the local copies that the watches keep. So the page causes no load on the API server, and every
//! replica serves the same data, whether it leads or stands by.
//! The number of streams is limited to [`CLIENTS`]. Streams have no queues: a slow reader misses intermediate states,
//! never the last one. Streams end at shutdown.

mod feed;
mod history;
mod listing;
mod markup;
mod render;
mod report;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware,
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub use feed::{CLIENTS, Feed};
pub use history::Moment;
pub use report::{Images, Report, Revisions, Step, StepState, Summary, Waiting, Watcher, Weights};

use listing::Listing;
use render::{Document, Section};

/// Interval of keep-alive comments on an idle stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Delay after which a browser reconnects when a stream has ended.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Page {
    feed: Feed,
    shutdown: CancellationToken,
}

/// The routes. Streams end with `shutdown`.
pub fn router(feed: Feed, shutdown: CancellationToken) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/canaries/{namespace}/{name}", get(canary))
        .route("/api/canaries", get(api_index))
        .route("/api/canaries/{namespace}/{name}", get(api_canary))
        .route("/api/watch", get(api_watch))
        .fallback(unknown)
        .layer(middleware::map_response(protect))
        .with_state(Page { feed, shutdown })
}

async fn index(State(page): State<Page>, headers: HeaderMap) -> Response {
    if wants_stream(&headers) {
        return page.stream(changes(render::index));
    }
    html(StatusCode::OK, &render::index(&page.feed.now()))
}

async fn canary(
    State(page): State<Page>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let find = move |listing: &Listing| {
        render::canary(listing, &namespace, &name).ok_or_else(|| render::gone(&namespace, &name))
    };
    if wants_stream(&headers) {
        return page.stream(changes(move |listing: &Listing| {
            find(listing).unwrap_or_else(|gone| gone)
        }));
    }
    match find(&page.feed.now()) {
        Ok(found) => html(StatusCode::OK, &found),
        Err(gone) => html(StatusCode::NOT_FOUND, &gone),
    }
}

async fn api_index(State(page): State<Page>) -> Response {
    let now = page.feed.now();
    let canaries: Vec<_> = now
        .canaries
        .iter()
        .map(|entry| &entry.report.summary)
        .collect();
    Json(json!({ "controller": now.watcher, "canaries": canaries })).into_response()
}

async fn api_canary(
    State(page): State<Page>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    match page.feed.now().find(&namespace, &name) {
        Some(entry) => Json(&entry.report).into_response(),
        None => failure(
            StatusCode::NOT_FOUND,
            &format!(
                "there is no Canary \"{name}\" in namespace {namespace}; /api/canaries lists all canaries"
            ),
        ),
    }
}

async fn api_watch(State(page): State<Page>) -> Response {
    let mut sent = BTreeMap::new();
    page.stream(move |now: &Listing| {
        let key = |entry: &listing::Entry| {
            let summary = &entry.report.summary;
            (summary.namespace.clone(), summary.name.clone())
        };
        let before = std::mem::take(&mut sent);
        sent = now
            .canaries
            .iter()
            .map(|entry| (key(entry), Arc::clone(entry)))
            .collect();
        let changed = sent.iter().filter(|(key, entry)| {
            let same = before.get(*key);
            same.is_none_or(|before| !Arc::ptr_eq(before, entry))
        });
        let changed = changed.map(|(_, entry)| json_event("canary", &entry.report));
        let gone = before.keys().filter(|key| !sent.contains_key(*key));
        let gone = gone.map(|(namespace, name)| {
            json_event("deleted", &json!({ "namespace": namespace, "name": name }))
        });
        changed.chain(gone).collect()
    })
}

async fn unknown(uri: Uri) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") {
        let known = "/api/canaries, /api/canaries/NAMESPACE/NAME and /api/watch";
        return failure(
            StatusCode::NOT_FOUND,
            &format!("there is no {path}; the API has {known}"),
        );
    }
    (
        StatusCode::NOT_FOUND,
        format!("there is no {path}; the canaries are at /\n"),
    )
        .into_response()
}

fn html(status: StatusCode, document: &Document) -> Response {
    (status, Html(document.page())).into_response()
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/event-stream"))
}

impl Page {
    /// Streams the events that `events_of` makes from the current listing, and then from every new one.
    fn stream(&self, events_of: impl FnMut(&Listing) -> Vec<Event> + Send + 'static) -> Response {
        let Some(subscription) = self.feed.subscribe() else {
            let message = format!("{CLIENTS} live views are already open; try again later");
            let mut refused = failure(StatusCode::SERVICE_UNAVAILABLE, &message);
            refused
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            return refused;
        };
        let first = (subscription, events_of, true);
        let events = stream::unfold(
            first,
            async |(mut subscription, mut events_of, is_first)| {
                if !is_first {
                    subscription.latest.changed().await.ok()?;
                }
                let now = Arc::clone(&subscription.latest.borrow_and_update());
                let events = events_of(&now);
                Some((events, (subscription, events_of, false)))
            },
        );
        let opening = Event::default().retry(RETRY).comment("live updates follow");
        let events = stream::once(async { vec![opening] })
            .chain(events)
            .flat_map(stream::iter)
            .map(Ok::<_, Infallible>)
            .take_until(self.shutdown.clone().cancelled_owned());
        Sse::new(events)
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response()
    }
}

/// Sends the whole page at first and whenever its list of sections changes, and otherwise the sections that changed.
fn changes(
    render: impl Fn(&Listing) -> Document + Send + 'static,
) -> impl FnMut(&Listing) -> Vec<Event> + Send + 'static {
    let mut sent: Option<Vec<Section>> = None;
    move |now| {
        let document = render(now);
        let ids = |sections: &[Section]| -> Vec<String> {
            sections.iter().map(|section| section.id.clone()).collect()
        };
        let event = match &sent {
            Some(before) if ids(before) == ids(&document.sections) => {
                let pairs = before.iter().zip(&document.sections);
                let changed: String = pairs
                    .filter(|(before, after)| before != after)
                    .map(|(_, after)| &*after.html)
                    .collect();
                (!changed.is_empty()).then(|| Event::default().event("sections").data(changed))
            }
            _ => Some(Event::default().event("page").data(document.main())),
        };
        sent = Some(document.sections);
        event.into_iter().collect()
    }
}

fn json_event(name: &str, data: &impl serde::Serialize) -> Event {
    // Serialization cannot fail: these types have string keys and no fallible parts.
    let text = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(text)
}

/// `Content-Security-Policy`: allows only the page's own script and style, and forbids framing.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(render::SCRIPT),
        hash(render::STYLE)
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

async fn protect(mut response: Response) -> Response {
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

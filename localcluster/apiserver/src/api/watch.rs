//! `watch`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::read::resource_version;
use super::represent::Form;
use super::request::ResourceRequest;
use super::server::Call;
use crate::clock::Clock;
use crate::registry::Kind;
use crate::registry::select::Selection;
use crate::status::{ApiError, Cause};
use crate::store::{Change, LogError, Record, Store, Watch};

/// Time between bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// How long a watch lasts when the client does not say: this long and up to as much again.
const DEFAULT_TIMEOUT: u64 = 1800;

/// Lines that a client may be behind before its watch stops reading the log.
const BUFFER: usize = 64;

/// Where the events of a watch begin.
struct Start {
    /// Objects that exist, to be sent first.
    initial: Vec<Arc<Record>>,
    /// Whether a bookmark tells the end of the initial objects.
    mark_end: bool,
    watch: Watch,
}

/// One running watch.
struct Feed {
    kind: Kind,
    selection: Selection,
    form: Form,
    clock: Clock,
    bookmarks: bool,
    deadline: Instant,
    lines: mpsc::Sender<Bytes>,
    /// Whether an object was sent already.
    begun: AtomicBool,
}

/// The client went away, or the watch is over.
struct Ended;

/// Answers `watch`.
pub(crate) fn watch(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let mut selection = call.selection(kind)?;
    if !request.name.is_empty() {
        selection.require_name(&request.name);
    }
    let seconds = match call.query.number("timeoutSeconds")? {
        Some(seconds) if seconds > 0 => seconds,
        _ => DEFAULT_TIMEOUT + fastrand::u64(..DEFAULT_TIMEOUT),
    };
    let (lines, receiver) = mpsc::channel(BUFFER);
    let feed = Feed {
        kind: kind.clone(),
        selection,
        form: Form::negotiate(call)?,
        clock: call.server.clock.clone(),
        bookmarks: call.query.flag("allowWatchBookmarks"),
        deadline: Instant::now() + Duration::from_secs(seconds),
        lines,
        begun: AtomicBool::new(false),
    };
    let start = begin(call, kind, request);
    if let Err(error) = &start
        && error.code == http::StatusCode::UNPROCESSABLE_ENTITY
    {
        return Err(error.clone());
    }
    tokio::spawn(async move {
        let _ = feed.run(start).await;
    });
    Ok(stream_response(ReceiverStream::new(receiver)))
}

fn stream_response(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let lines = futures::StreamExt::map(lines, Ok::<_, std::convert::Infallible>);
    (
        [(CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response()
}

fn begin(call: &Call, kind: &Kind, request: &ResourceRequest) -> Result<Start, ApiError> {
    let store: &Arc<Store> = &call.server.store;
    let prefix = kind.prefix(&request.namespace);
    let wanted = resource_version(call)?;
    let send_initial = call
        .query
        .get("sendInitialEvents")
        .map(|text| text == "true");
    let matching = call.query.get("resourceVersionMatch");
    match (send_initial, matching) {
        (Some(_), Some("NotOlderThan")) | (None, None) => {}
        (Some(_), _) => {
            return Err(invalid_options(
                "resourceVersionMatch",
                "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        (None, Some(_)) => {
            return Err(invalid_options(
                "resourceVersionMatch",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
    }
    let initial = match (send_initial, wanted) {
        (Some(true), _) | (None, None) => {
            let page = store.list(&prefix, None, 0, None)?;
            if let Some(wanted) = wanted
                && wanted > page.revision
            {
                return Err(LogError::Future {
                    wanted,
                    current: page.revision,
                }
                .into());
            }
            Some(page)
        }
        _ => None,
    };
    let after = match (&initial, wanted) {
        (Some(page), _) => page.revision,
        (None, Some(wanted)) => wanted,
        (None, None) => store.revision(),
    };
    Ok(Start {
        initial: initial.map(|page| page.records).unwrap_or_default(),
        mark_end: send_initial == Some(true),
        watch: store.watch(&prefix, after)?,
    })
}

fn invalid_options(field: &str, message: &str) -> ApiError {
    let cause = Cause {
        reason: "FieldValueForbidden",
        field: field.to_owned(),
        message: message.to_owned(),
    };
    ApiError::invalid_named("ListOptions", "meta.k8s.io", "", &[cause])
}

impl Feed {
    async fn run(self, start: Result<Start, ApiError>) -> Result<(), Ended> {
        let mut start = match start {
            Ok(start) => start,
            Err(error) => return self.send("ERROR", &error.to_status()).await,
        };
        for record in &start.initial {
            if self.selection.matches(&self.kind, &record.value) {
                self.send_object("ADDED", &record.value).await?;
            }
        }
        if start.mark_end && self.bookmarks {
            self.bookmark(start.watch.position(), true).await?;
        }
        self.follow(&mut start.watch).await
    }

    async fn follow(&self, watch: &mut Watch) -> Result<(), Ended> {
        let mut ticks = interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = pin!(sleep_until(self.deadline));
        loop {
            tokio::select! {
                () = &mut deadline => {
                    return if self.bookmarks { self.bookmark(watch.position(), false).await } else { Ok(()) };
                }
                () = self.lines.closed() => return Err(Ended),
                records = watch.next() => match records {
                    Ok(records) => for record in records {
                        self.send_change(&record).await?;
                    },
                    Err(error) => {
                        return self.send("ERROR", &ApiError::from(error).to_status()).await;
                    }
                },
                _ = ticks.tick(), if self.bookmarks => self.bookmark(watch.position(), false).await?,
            }
        }
    }

    /// Sends what a write looks like to a client that sees only the selected objects.
    async fn send_change(&self, record: &Record) -> Result<(), Ended> {
        let matched = record
            .previous
            .as_ref()
            .is_some_and(|previous| self.selection.matches(&self.kind, previous));
        let matches =
            record.change != Change::Deleted && self.selection.matches(&self.kind, &record.value);
        let event = match (matched, matches) {
            (false, false) => return Ok(()),
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        self.send_object(event, &record.value).await
    }

    async fn send_object(&self, event: &str, stored: &Value) -> Result<(), Ended> {
        let first = !self.begun.swap(true, Ordering::Relaxed);
        let object = self.form.event(&self.kind, stored, self.clock.now(), first);
        self.send(event, &object).await
    }

    async fn bookmark(&self, revision: u64, ends_initial: bool) -> Result<(), Ended> {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if ends_initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = json!({
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(),
            "metadata": metadata,
        });
        self.send("BOOKMARK", &object).await
    }

    async fn send(&self, event: &str, object: &Value) -> Result<(), Ended> {
        let mut line = json!({ "type": event, "object": object }).to_string();
        line.push('\n');
        self.lines.send(line.into()).await.map_err(|_| Ended)
    }
}

//! `pods/log`: what containers wrote, from the files that the kubelet keeps.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::request::ResourceRequest;
use super::server::{Call, Server};
use crate::object;
use crate::registry::Kind;
use crate::status::ApiError;

/// How often a followed file is looked at for new lines.
const POLL: Duration = Duration::from_millis(100);

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// What of a log is wanted.
#[derive(Debug, Clone, Default)]
struct Options {
    follow: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<usize>,
}

impl Options {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let number = |key: &str| -> Result<Option<usize>, ApiError> {
            Ok(call
                .query
                .number(key)?
                .map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
        };
        let since = match (
            call.query.get("sinceTime"),
            call.query.number("sinceSeconds")?,
        ) {
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request(
                    "at most one of `sinceTime` or `sinceSeconds` may be specified",
                ));
            }
            (Some(time), None) => Some(time.parse().map_err(|_| {
                ApiError::bad_request(format!("sinceTime: {time:?} is no RFC 3339 time"))
            })?),
            (None, Some(seconds)) => {
                let age = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                call.server.clock.now().checked_sub(age).ok()
            }
            (None, None) => None,
        };
        Ok(Self {
            follow: call.query.flag("follow"),
            timestamps: call.query.flag("timestamps"),
            since,
            tail: number("tailLines")?,
            limit: number("limitBytes")?,
        })
    }

    /// The line as it is answered; `None` when it is not wanted.
    fn show<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let space = line.iter().position(|&byte| byte == b' ');
        let time = space
            .and_then(|space| std::str::from_utf8(&line[..space]).ok())
            .and_then(|text| text.parse::<Timestamp>().ok());
        if let (Some(since), Some(time)) = (self.since, time)
            && time < since
        {
            return None;
        }
        match (space, time) {
            (Some(space), Some(_)) if !self.timestamps => Some(&line[space + 1..]),
            _ => Some(line),
        }
    }
}

/// Answers `get`.
pub(crate) async fn answer(
    call: &Call,
    kind: &Kind,
    request: &ResourceRequest,
) -> Result<Response, ApiError> {
    let options = Options::read(call)?;
    let pod = pod(&call.server, kind, request)?;
    let container = container(call, &pod, request)?;
    let (path, follow) = file(call, &pod, &container, options.follow)?;
    let options = Options { follow, ..options };
    let (lines, receiver) = mpsc::channel(16);
    let reader = Reader {
        server: call.server.clone(),
        key: kind.key(&request.namespace, &request.name),
        uid: object::uid(&pod).to_owned(),
        container,
        options,
        lines,
        sent: 0,
    };
    tokio::spawn(async move {
        if let Err(error) = reader.run(&path).await {
            tracing::debug!(%error, path = %path.display(), "log ended");
        }
    });
    let stream = ReceiverStream::new(receiver);
    let body = Body::from_stream(futures::StreamExt::map(
        stream,
        Ok::<_, std::convert::Infallible>,
    ));
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

fn pod(server: &Server, kind: &Kind, request: &ResourceRequest) -> Result<Value, ApiError> {
    let record = server
        .store
        .get(&kind.key(&request.namespace, &request.name));
    Ok((*record
        .ok_or_else(|| ApiError::not_found(kind, &request.name))?
        .value)
        .clone())
}

/// The container that is meant: the one named, or the only one.
fn container(call: &Call, pod: &Value, request: &ResourceRequest) -> Result<String, ApiError> {
    let names = |list: &str| -> Vec<&str> {
        let items = pod["spec"][list].as_array();
        items
            .into_iter()
            .flatten()
            .filter_map(|item| item["name"].as_str())
            .collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    match call.query.get("container") {
        Some(name) if containers.contains(&name) || init.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(ApiError::bad_request(format!(
            "container {name} is not valid for pod {}",
            request.name
        ))),
        None => match containers.as_slice() {
            [only] if init.is_empty() => Ok((*only).to_owned()),
            _ => Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                request.name,
                [init, containers].concat().join(" ")
            ))),
        },
    }
}

/// The file of the wanted run of a container, and whether following it makes sense.
fn file(
    call: &Call,
    pod: &Value,
    container: &str,
    follow: bool,
) -> Result<(PathBuf, bool), ApiError> {
    let waiting = |why: &str| {
        ApiError::bad_request(format!(
            "container {container:?} in pod {:?} is {why}",
            object::name(pod)
        ))
    };
    let directory = call
        .server
        .log_dir
        .as_ref()
        .ok_or_else(|| waiting("without logs: this API server has no log directory"))?;
    let folder = format!(
        "{}_{}_{}",
        object::namespace(pod),
        object::name(pod),
        object::uid(pod)
    );
    let runs = runs(&directory.join(folder).join(container));
    if call.query.flag("previous") {
        let [.., previous, _] = runs.as_slice() else {
            return Err(ApiError::bad_request(format!(
                "previous terminated container {container:?} in pod {:?} not found",
                object::name(pod)
            )));
        };
        return Ok((previous.clone(), false));
    }
    match runs.last() {
        Some(newest) => Ok((newest.clone(), follow)),
        None => {
            let status = status(pod, container);
            let reason = object::text(&status, "/state/waiting/reason");
            let reason = if reason.is_empty() {
                "ContainerCreating"
            } else {
                reason
            };
            Err(waiting(&format!("waiting to start: {reason}")))
        }
    }
}

/// The log files of a container, oldest run first.
fn runs(directory: &Path) -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> Option<u64> {
        (path.extension()? == "log")
            .then(|| path.file_stem()?.to_str()?.parse().ok())
            .flatten()
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut runs: Vec<(u64, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter_map(|path| number(&path).map(|number| (number, path)))
        .collect();
    runs.sort();
    runs.into_iter().map(|(_, path)| path).collect()
}

fn status(pod: &Value, container: &str) -> Value {
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
        .find(|status| status["name"] == container)
        .cloned()
        .unwrap_or_default()
}

/// Sends one file to one client.
struct Reader {
    server: std::sync::Arc<Server>,
    key: String,
    uid: String,
    container: String,
    options: Options,
    lines: mpsc::Sender<Bytes>,
    sent: usize,
}

impl Reader {
    async fn run(mut self, path: &Path) -> std::io::Result<()> {
        let mut file = File::open(path).await?;
        let start = match self.options.tail {
            Some(lines) => tail_offset(&mut file, lines).await?,
            None => 0,
        };
        file.seek(SeekFrom::Start(start)).await?;
        let mut pending = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            // Asked before reading, so that what was written before the end is still read.
            let ended = !self.options.follow || self.run_is_over(path);
            let mut any = false;
            loop {
                let count = file.read(&mut chunk).await?;
                if count == 0 {
                    break;
                }
                any = true;
                pending.extend_from_slice(&chunk[..count]);
                if !self.send_lines(&mut pending).await {
                    return Ok(());
                }
            }
            if ended && !any {
                // The last line may lack its end.
                let rest = std::mem::take(&mut pending);
                self.send(&rest).await;
                return Ok(());
            }
            if !any {
                tokio::select! {
                    () = self.lines.closed() => return Ok(()),
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    /// Returns whether nothing will be added to the file: the container ended, runs anew, or its pod is gone.
    fn run_is_over(&self, path: &Path) -> bool {
        let Some(record) = self.server.store.get(&self.key) else {
            return true;
        };
        if object::uid(&record.value) != self.uid {
            return true;
        }
        let status = status(&record.value, &self.container);
        let newer = path
            .parent()
            .is_some_and(|directory| runs(directory).last().is_some_and(|newest| newest != path));
        newer || !status["state"]["terminated"].is_null()
    }

    /// Sends all complete lines; false when there is nobody left to send to or nothing left to say.
    async fn send_lines(&mut self, pending: &mut Vec<u8>) -> bool {
        let Some(end) = pending.iter().rposition(|&byte| byte == b'\n') else {
            return true;
        };
        let rest = pending.split_off(end + 1);
        let complete = std::mem::replace(pending, rest);
        self.send(&complete).await
    }

    async fn send(&mut self, lines: &[u8]) -> bool {
        let mut shown = Vec::with_capacity(lines.len());
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            shown.extend_from_slice(self.options.show(line).unwrap_or_default());
        }
        if let Some(limit) = self.options.limit {
            shown.truncate(limit.saturating_sub(self.sent));
        }
        self.sent += shown.len();
        if !shown.is_empty() && self.lines.send(shown.into()).await.is_err() {
            return false;
        }
        self.options.limit.is_none_or(|limit| self.sent < limit)
    }
}

/// Where the last `lines` lines begin.
async fn tail_offset(file: &mut File, lines: usize) -> std::io::Result<u64> {
    let end = file.seek(SeekFrom::End(0)).await?;
    let (mut position, mut wanted) = (end, lines);
    let mut chunk = vec![0; CHUNK];
    // The line end at the very end of the file closes the last line; it does not begin another.
    let mut last = true;
    while position > 0 {
        let size = position.min(CHUNK as u64);
        position -= size;
        file.seek(SeekFrom::Start(position)).await?;
        let part = &mut chunk[..usize::try_from(size).unwrap_or(CHUNK)];
        file.read_exact(part).await?;
        for (index, &byte) in part.iter().enumerate().rev() {
            if byte == b'\n' && !last {
                if wanted <= 1 {
                    let begin = position + index as u64 + 1;
                    return Ok(if lines == 0 { end } else { begin });
                }
                wanted -= 1;
            }
            last = false;
        }
    }
    Ok(if lines == 0 { end } else { 0 })
}

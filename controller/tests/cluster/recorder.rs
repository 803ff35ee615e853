//! Records the requests of a client, and can disconnect it after a number of writes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::json;
use tokio::sync::{Notify, watch};

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// RBAC verb.
    pub verb: &'static str,
    /// API group.
    pub group: String,
    /// Resource, and subresource if any.
    pub resource: String,
}

/// Records requests.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asked: Mutex<Vec<Asked>>,
    tried: Mutex<Vec<Asked>>,
    conflicts: Mutex<usize>,
    cut: Mutex<Option<usize>>,
    is_cut: Notify,
    is_away: watch::Sender<bool>,
    slow: Mutex<Duration>,
}

impl Recorder {
    /// Returns a recorder that forwards `writes` writes, and never answers the last of them.
    pub fn cut_after(writes: usize) -> Self {
        let recorder = Self::default();
        *recorder.0.cut.lock().unwrap() = Some(writes);
        recorder
    }

    /// Waits until the client is disconnected.
    pub async fn cut(&self) {
        self.0.is_cut.notified().await;
    }

    /// Makes requests hang as if the API server were unreachable, or lets them through again.
    pub fn is_away(&self, away: bool) {
        self.0.is_away.send_replace(away);
    }

    /// Delays requests by this duration.
    pub fn is_slow(&self, slow: Duration) {
        *self.0.slow.lock().unwrap() = slow;
    }

    /// Wraps a client so that its requests are recorded.
    pub fn record(&self, client: Client) -> Client {
        let recorder = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (recorder, client) = (recorder.clone(), client.clone());
            async move {
                let slow = *recorder.0.slow.lock().unwrap();
                tokio::time::sleep(slow).await;
                let mut away = recorder.0.is_away.subscribe();
                let _ = away.wait_for(|away| !*away).await;
                let is_last = recorder.note(&request);
                let answer = client.send(request).await;
                if let Ok(answer) = &answer
                    && answer.status() == StatusCode::CONFLICT
                {
                    *recorder.0.conflicts.lock().unwrap() += 1;
                }
                if is_last {
                    recorder.0.is_cut.notify_one();
                    std::future::pending::<()>().await;
                }
                answer
            }
        });
        Client::new(service, "default")
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    /// All distinct requests so far.
    pub fn kinds(&self) -> BTreeSet<Asked> {
        self.asked().into_iter().collect()
    }

    /// Number of writes so far, without those of the Lease.
    pub fn writes(&self) -> usize {
        self.asked().iter().filter(|asked| asked.is_write()).count()
    }

    /// Number of dry runs so far.
    pub fn tried(&self) -> usize {
        self.0.tried.lock().unwrap().len()
    }

    /// Number of dry runs of a resource so far.
    pub fn tried_of(&self, resource: &str) -> usize {
        let tried = self.0.tried.lock().unwrap();
        tried
            .iter()
            .filter(|asked| asked.resource == resource)
            .count()
    }

    /// Number of conflicts so far.
    pub fn conflicts(&self) -> usize {
        *self.0.conflicts.lock().unwrap()
    }

    /// Records a request. Returns `true` if it is the last one before the client is disconnected.
    fn note(&self, request: &Request<Body>) -> bool {
        let asked = read(request);
        if request.uri().query().is_some_and(|q| q.contains("dryRun")) {
            self.0.tried.lock().unwrap().push(asked.clone());
        }
        let is_write = asked.is_write();
        self.0.asked.lock().unwrap().push(asked);
        let mut cut = self.0.cut.lock().unwrap();
        match cut.as_mut() {
            Some(left) if is_write => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            _ => false,
        }
    }
}

impl Asked {
    fn is_write(&self) -> bool {
        matches!(self.verb, "create" | "update" | "patch") && self.resource != "leases"
    }
}

/// A client with strict field validation: writes with unknown fields fail.
pub fn strict(client: Client) -> Client {
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let client = client.clone();
        if *request.method() != Method::GET {
            let uri = request.uri().to_string();
            let joint = if uri.contains('?') { '&' } else { '?' };
            let uri = format!("{uri}{joint}fieldValidation=Strict");
            *request.uri_mut() = uri.parse().unwrap();
        }
        async move { client.send(request).await }
    });
    Client::new(service, "default")
}

/// A client whose dry runs fail, as with an admission webhook that has side effects.
pub fn untried(client: Client) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            if !request.uri().query().is_some_and(|q| q.contains("dryRun")) {
                return client.send(request).await;
            }
            let why = "admission webhook \"w.example\" does not support dry run";
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest", "code": 400,
                "message": why });
            let body = Body::from(status.to_string().into_bytes());
            Ok(Response::builder().status(400).body(body).unwrap())
        }
    });
    Client::new(service, "default")
}

/// A client whose next `left` requests get a 404 in plain text, as from a starting API server.
pub fn first_moments(client: Client, left: Arc<AtomicUsize>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, left) = (client.clone(), Arc::clone(&left));
        async move {
            let less = |left: usize| left.checked_sub(1);
            if left.fetch_update(Relaxed, Relaxed, less).is_err() {
                return client.send(request).await;
            }
            let body = Body::from(b"404 page not found\n".to_vec());
            Ok(Response::builder().status(404).body(body).unwrap())
        }
    });
    Client::new(service, "default")
}

/// Derives verb, group and resource from the method and path of a request.
fn read(request: &Request<Body>) -> Asked {
    let path = request.uri().path();
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if path == "/apis" || (path.starts_with("/apis/") && parts.len() == 3) {
        return Asked {
            verb: "discover",
            group: String::new(),
            resource: String::new(),
        };
    }
    let group = match parts.remove(0) {
        "apis" => parts.remove(0).to_owned(),
        _ => String::new(),
    };
    parts.remove(0);
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    let resource = match parts.as_slice() {
        [resource, _, sub] => format!("{resource}/{sub}"),
        [resource, ..] => (*resource).to_owned(),
        [] => String::new(),
    };
    let is_watch = request
        .uri()
        .query()
        .unwrap_or_default()
        .contains("watch=true");
    let verb = match *request.method() {
        Method::GET if is_watch => "watch",
        Method::GET if parts.len() > 1 => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        _ => "delete",
    };
    Asked {
        verb,
        group,
        resource,
    }
}

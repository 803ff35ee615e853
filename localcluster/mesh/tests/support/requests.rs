//! HTTP clients: single requests, and load over persistent connections.

// Shared with the tests of monitoring; each test uses only a part of it.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The name of the backend that responded.
    pub(crate) fn from(&self) -> &str {
        self.headers
            .get("x-from")
            .map_or("nobody", |name| name.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A connection to a proxy or server.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(
        to: SocketAddr,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(to).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn send(
        &mut self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(host) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split('/').next())
            && !headers.iter().any(|(name, _)| *name == "host")
        {
            request = request.header("host", host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.0.ready().await?;
        let response = self.0.send_request(request.body(Full::default())?).await?;
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// Sends a GET over a new connection. `url` is absolute, as clients of a proxy send it.
pub(crate) async fn get(to: SocketAddr, url: &str) -> Answer {
    get_with(to, url, &[]).await
}

pub(crate) async fn get_with(to: SocketAddr, url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut connection = Connection::open(to).await.unwrap();
    connection.send(&Method::GET, url, headers).await.unwrap()
}

/// The responses under load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of responses by backend and status.
    pub(crate) answers: Mutex<BTreeMap<String, usize>>,
    total: AtomicUsize,
}

impl Tally {
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::SeqCst)
    }

    /// All responses but 200, and all errors.
    pub(crate) fn failures(&self) -> BTreeMap<String, usize> {
        let answers = self.answers.lock().unwrap();
        answers
            .clone()
            .into_iter()
            .filter(|(answer, _)| !answer.ends_with(" 200 OK"))
            .collect()
    }

    fn count(&self, answer: String) {
        *self.answers.lock().unwrap().entry(answer).or_default() += 1;
        self.total.fetch_add(1, Ordering::SeqCst);
    }
}

/// A client that sends requests without pause over several connections until it is stopped.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(
        to: SocketAddr,
        url: &'static str,
        method: Method,
        connections: usize,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let (tally, stop, method) = (tally.clone(), stop.clone(), method.clone());
            workers.spawn(async move {
                let mut connection = Connection::open(to).await.unwrap();
                while !stop.is_cancelled() {
                    match connection.send(&method, url, &[]).await {
                        Ok(answer) => tally.count(format!("{} {}", answer.from(), answer.status)),
                        Err(error) => {
                            tally.count(format!("failed: {error}"));
                            connection = Connection::open(to).await.unwrap();
                        }
                    }
                }
            });
        }
        Self {
            tally,
            stop,
            workers,
        }
    }

    /// Waits until `more` requests are done.
    pub(crate) async fn run_for(&self, more: usize) {
        let goal = self.tally.total() + more;
        while self.tally.total() < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn stop(mut self) -> Arc<Tally> {
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
        self.tally
    }
}

/// Sends `count` GETs over a few connections. Returns the number of responses by backend.
pub(crate) async fn split(
    to: SocketAddr,
    url: &'static str,
    count: usize,
) -> BTreeMap<String, usize> {
    let mut workers = JoinSet::new();
    let connections = 8;
    for _ in 0..connections {
        workers.spawn(async move {
            let mut connection = Connection::open(to).await.unwrap();
            let mut answers: BTreeMap<String, usize> = BTreeMap::new();
            for _ in 0..count / connections {
                let answer = connection.send(&Method::GET, url, &[]).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
                *answers.entry(answer.from().to_owned()).or_default() += 1;
            }
            answers
        });
    }
    let mut all: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(answers) = workers.join_next().await {
        for (name, count) in answers.unwrap() {
            *all.entry(name).or_default() += count;
        }
    }
    all
}

//! An in-process Prometheus and webhooks.

use std::sync::{Arc, Mutex, PoisonError};

use controller::process::http::{HttpError, Method, Request, Response, Transport};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::watch;

type Answer = Box<dyn Fn(&Request) -> Result<Response, HttpError> + Send + Sync>;

/// Responds to requests and records them.
pub struct Web {
    answer: Mutex<Answer>,
    calls: Mutex<Vec<Request>>,
    held: watch::Sender<Option<&'static str>>,
}

impl Web {
    /// Every query returns `value`, and every webhook passes.
    pub fn with_value(value: f64) -> Arc<Self> {
        let web = Arc::new(Self {
            answer: Mutex::new(Box::new(|_| ok("OK"))),
            calls: Mutex::default(),
            held: watch::Sender::default(),
        });
        web.measure(value);
        web
    }

    /// Makes every query return `value`, and every webhook pass.
    pub fn measure(&self, value: f64) {
        self.answer_with(move |request| {
            if request.method == Method::Get {
                ok(&vector(&[("", value)]))
            } else {
                ok("OK")
            }
        });
    }

    /// Sets the response to requests.
    pub fn answer_with(
        &self,
        answer: impl Fn(&Request) -> Result<Response, HttpError> + Send + Sync + 'static,
    ) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(answer);
    }

    /// Holds back the responses to requests whose URL contains `part`. The responses are computed at once.
    pub fn hold(&self, part: &'static str) {
        self.held.send_replace(Some(part));
    }

    /// Releases the responses that are held back.
    pub fn let_go(&self) {
        self.held.send_replace(None);
    }

    /// Number of requests whose URL contains `part`, including those held back.
    pub fn calls(&self, part: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.url.contains(part)).count()
    }

    /// Bodies of the requests whose URL contains `part`.
    pub fn bodies(&self, part: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        let matching = calls.iter().filter(|call| call.url.contains(part));
        matching
            .filter_map(|call| serde_json::from_str(call.body.as_ref()?).ok())
            .collect()
    }

    /// Decoded queries so far.
    pub fn queries(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let queries = calls
            .iter()
            .filter(|call| call.method == Method::Get)
            .filter_map(|call| {
                let url = reqwest::Url::parse(&call.url).ok()?;
                url.query_pairs()
                    .find(|(name, _)| name == "query")
                    .map(|(_, query)| query.into_owned())
            });
        queries.collect()
    }
}

impl Transport for Web {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        let answer = (self.answer.lock().unwrap_or_else(PoisonError::into_inner))(&request);
        let (url, mut held) = (request.url.clone(), self.held.subscribe());
        self.calls.lock().unwrap().push(request);
        Box::pin(async move {
            let free = held.wait_for(|part| !part.is_some_and(|part| url.contains(part)));
            free.await.unwrap();
            answer
        })
    }
}

/// A response with status 200.
pub fn ok(body: &str) -> Result<Response, HttpError> {
    status(200, body)
}

/// A response.
pub fn status(status: u16, body: &str) -> Result<Response, HttpError> {
    Ok(Response {
        status,
        retry_after: None,
        body: body.to_owned(),
    })
}

/// A Prometheus vector with one series per pod. A pod with an empty name has no labels.
pub fn vector(series: &[(&str, f64)]) -> String {
    let result: Vec<_> = series
        .iter()
        .map(|(pod, value)| {
            let metric = if pod.is_empty() {
                json!({})
            } else {
                json!({ "pod": pod })
            };
            json!({ "metric": metric, "value": [0, value.to_string()] })
        })
        .collect();
    json!({ "status": "success", "data": { "resultType": "vector", "result": result } }).to_string()
}

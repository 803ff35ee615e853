//! Calls webhooks: payload, retries and success criteria.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::{phase::Phase, question::HookAnswer, status::Status};
use serde::Serialize;
use serde_json::json;

use crate::{
    cluster::digest,
    process::http::{Connection, Method, Request, Response, Transport},
    release::{HookCall, Release},
};

/// Body of a webhook request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payload {
    /// Name of the Canary.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Phase of the Canary.
    pub phase: String,
    /// Digest that changes with the revision being released.
    pub checksum: String,
    /// `metadata` of the webhook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Payload {
    /// Builds the body of a request for `phase`.
    #[must_use]
    pub fn new(
        release: &Release,
        status: &Status,
        phase: Phase,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        let subject = json!({
            "trackedConfigs": status.tracked_configs,
            "lastAppliedSpec": status.last_applied,
        });
        Self {
            name: release.canary.name.clone(),
            namespace: release.canary.namespace.clone(),
            phase: phase.as_str().to_owned(),
            checksum: digest::short(&subject.to_string(), 8),
            metadata,
        }
    }
}

/// Calls a webhook, with the retries of its spec after temporary failures. Any 2xx status passes.
pub async fn call(transport: &dyn Transport, hook: &HookCall, payload: &Payload) -> HookAnswer {
    let request = Request {
        method: Method::Post,
        url: hook.spec.url.clone(),
        headers: Vec::new(),
        body: Some(json!(payload).to_string()),
        timeout: hook.timeout,
        connection: Connection {
            insecure: hook.spec.disable_tls == Some(true),
            proxy: None,
        },
    };
    let mut wait = Duration::from_secs(1);
    for attempt in 0..=hook.retries {
        let (words, retry_after) = match transport.send(request.clone()).await {
            Ok(response) if response.is_success() => return HookAnswer::Passed,
            Ok(response) if is_temporary(&response) => (words(&response), response.retry_after),
            Ok(response) => return HookAnswer::Refused(words(&response)),
            Err(error) => (error.to_string(), None),
        };
        if attempt == hook.retries {
            let tries = attempt + 1;
            return HookAnswer::Refused(if hook.retries == 0 {
                words
            } else {
                format!(
                    "POST {} giving up after {tries} attempt(s): {words}",
                    hook.spec.url
                )
            });
        }
        // `Retry-After` is honoured up to the limit.
        let pause = retry_after.map_or(wait, Duration::from_secs);
        tokio::time::sleep(pause.min(LONGEST_WAIT)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    HookAnswer::Refused("not called".to_owned())
}

const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn is_temporary(response: &Response) -> bool {
    response.status == 429 || (response.status >= 500 && response.status != 501)
}

/// The body of a response, or its status if the body is empty.
fn words(response: &Response) -> String {
    let body: String = response.body.trim().chars().take(500).collect();
    if body.is_empty() {
        format!("status {}", response.status_text())
    } else if response.status >= 500 || response.status == 429 {
        format!("status {}: {body}", response.status_text())
    } else {
        body
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use canary_engine::canary::HookKind;
    use futures::future::BoxFuture;
    use tokio::time::Instant;

    use super::*;
    use crate::{api::Webhook, process::http::HttpError};

    /// Returns the responses in order, and repeats the last one.
    struct Script(Mutex<Vec<Result<Response, HttpError>>>);

    impl Transport for Script {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0].clone()
            };
            Box::pin(async move { answer })
        }
    }

    fn answer(status: u16, body: &str) -> Result<Response, HttpError> {
        Ok(Response {
            status,
            retry_after: None,
            body: body.to_owned(),
        })
    }

    async fn call_with(retries: u32, answers: Vec<Result<Response, HttpError>>) -> HookAnswer {
        let hook = HookCall {
            kind: HookKind::Rollout,
            spec: Webhook {
                name: "w".to_owned(),
                url: "http://w".to_owned(),
                ..Webhook::default()
            },
            timeout: Duration::from_secs(10),
            retries,
        };
        let payload = Payload {
            name: "app".to_owned(),
            namespace: "ns".to_owned(),
            phase: "Progressing".to_owned(),
            checksum: "c".to_owned(),
            metadata: BTreeMap::new(),
        };
        call(&Script(Mutex::new(answers)), &hook, &payload).await
    }

    fn refused(words: &str) -> HookAnswer {
        HookAnswer::Refused(words.to_owned())
    }

    #[tokio::test]
    async fn every_2xx_passes() {
        for status in [200, 202, 203, 204, 299] {
            assert_eq!(
                call_with(0, vec![answer(status, "")]).await,
                HookAnswer::Passed
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_quotes_the_server_and_is_not_retried() {
        let answers = vec![answer(403, "Forbidden"), answer(200, "")];
        assert_eq!(call_with(3, answers).await, refused("Forbidden"));
        assert_eq!(
            call_with(3, vec![answer(404, "")]).await,
            refused("status 404 Not Found")
        );
        assert_eq!(
            call_with(3, vec![answer(501, "no"), answer(200, "")]).await,
            refused("status 501 Not Implemented: no")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn temporary_failures_are_retried_with_backoff() {
        let started = Instant::now();
        let lost = Err(HttpError("connection refused".to_owned()));
        let answers = vec![answer(500, "x"), lost, answer(429, "y"), answer(200, "")];
        assert_eq!(call_with(3, answers).await, HookAnswer::Passed);
        assert_eq!(started.elapsed().as_secs(), 1 + 2 + 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_message_has_the_body_of_the_last_failure() {
        let words = "POST http://w giving up after 3 attempt(s): status 500 Internal Server Error: tests failed";
        assert_eq!(
            call_with(2, vec![answer(500, "tests failed\n")]).await,
            refused(words)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_within_limits() {
        let started = Instant::now();
        let busy = |seconds| {
            Ok(Response {
                status: 503,
                retry_after: Some(seconds),
                body: String::new(),
            })
        };
        let answers = vec![busy(5), busy(100_000), answer(200, "")];
        assert_eq!(call_with(2, answers).await, HookAnswer::Passed);
        assert_eq!(started.elapsed().as_secs(), 5 + 30);
    }
}

//! Webhooks: what is sent, how often it is tried, and what counts as success.

use std::{collections::BTreeMap, time::Duration};

use canary_engine::{phase::Phase, question::HookAnswer, status::Status};
use serde::Serialize;
use serde_json::json;

use crate::{
    generate::digest,
    http::{Connection, Method, Request, Response, Transport},
    release::{HookCall, Release},
};

/// Body of a webhook call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payload {
    /// Name of the Canary.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Phase that the call is about.
    pub phase: String,
    /// Changes with the revision that is being released.
    pub checksum: String,
    /// As specified.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Payload {
    /// The body for a call about `phase`.
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

/// Calls a webhook and tries again after temporary failures, as often as it says. Any 2xx passes.
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
        // A server may ask for patience, but not for more than the longest wait.
        let asked = retry_after.map_or(wait, Duration::from_secs);
        tokio::time::sleep(asked.min(LONGEST_WAIT)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    HookAnswer::Refused("not called".to_owned())
}

const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn is_temporary(response: &Response) -> bool {
    response.status == 429 || (response.status >= 500 && response.status != 501)
}

/// What the server said, or its status when it said nothing.
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

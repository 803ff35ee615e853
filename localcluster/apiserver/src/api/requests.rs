//! Counting requests: `/metrics`.

use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};

use super::request::{ResourceRequest, Verb};

const LABELS: [&str; 7] = [
    "verb",
    "group",
    "version",
    "resource",
    "subresource",
    "code",
    "user",
];

/// The request counter.
#[derive(Debug)]
pub(crate) struct RequestCounter {
    registry: Registry,
    total: IntCounterVec,
}

impl RequestCounter {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "apiserver_request_total",
            "Requests by verb, resource, answer and user. A watch counts once, when it begins.",
        );
        let total = IntCounterVec::new(options, &LABELS)?;
        let registry = Registry::new();
        registry.register(Box::new(total.clone()))?;
        Ok(Self { registry, total })
    }

    /// Counts an answered request; `request` is `None` for one that is not about served objects.
    pub(crate) fn count(
        &self,
        request: Option<&ResourceRequest>,
        applies: bool,
        code: u16,
        user: &str,
    ) {
        let code = code.to_string();
        let labels = match request {
            None => ["GET", "", "", "", "", &code, user],
            Some(request) => [
                verb(request.verb, applies),
                &request.group,
                &request.version,
                &request.resource,
                &request.subresource,
                &code,
                user,
            ],
        };
        self.total.with_label_values(&labels).inc();
    }

    /// All counts in the text format.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

fn verb(verb: Verb, applies: bool) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch if applies => "APPLY",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
    }
}

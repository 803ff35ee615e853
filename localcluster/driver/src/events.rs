//! Saying what is wrong with an object in Events on it, once per generation.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use api_failure::ApiFailure;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::problem::{Problem, Reason};

/// How long something must be missing before it is said: objects of one manifest arrive one after
/// the other, and a Service may come after the route that names it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Tries to write an Event before it is only logged.
const TRIES: u32 = 5;

/// Turns problems into Events of type Warning.
#[derive(Debug)]
pub struct Reporter {
    said: BTreeSet<Problem>,
    waiting: BTreeMap<Problem, Instant>,
    sender: mpsc::UnboundedSender<Problem>,
}

impl Reporter {
    /// A reporter that writes as `component`. Events are written one after the other by a task that
    /// ends with the reporter.
    pub fn new(client: Client, component: &'static str) -> Self {
        let (sender, mut problems) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(problem) = problems.recv().await {
                write(&client, component, &problem).await;
            }
        });
        Self {
            said: BTreeSet::new(),
            waiting: BTreeMap::new(),
            sender,
        }
    }

    /// Take note of everything that is wrong now. What is new is said; what was said before is not
    /// said again. Returns when to call again because something is held back.
    pub fn report(&mut self, problems: &BTreeSet<Problem>) -> Option<Instant> {
        let now = Instant::now();
        self.said.retain(|problem| problems.contains(problem));
        self.waiting.retain(|problem, _| problems.contains(problem));
        for problem in problems {
            if self.said.contains(problem) {
                continue;
            }
            if problem.reason == Reason::Unresolved {
                let since = *self.waiting.entry(problem.clone()).or_insert(now);
                if now < since + PATIENCE {
                    continue;
                }
                self.waiting.remove(problem);
            }
            self.said.insert(problem.clone());
            tracing::warn!(object = %problem.object, reason = %problem.reason, field = problem.field, "{}", problem.message);
            // Fails only while the runtime shuts down.
            let _ = self.sender.send(problem.clone());
        }
        self.waiting.values().min().map(|since| *since + PATIENCE)
    }
}

async fn write(client: &Client, component: &str, problem: &Problem) {
    let event = event(component, problem);
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let mut wait = Duration::from_millis(100);
    for _ in 0..TRIES {
        let created = api.create(&PostParams::default(), &event).await;
        match created.map_err(ApiFailure::from) {
            Ok(_) => return,
            // Said by an earlier process, or the object and its namespace are gone.
            Err(failure) if failure.is_refusal() || failure.is_conflict() => {
                return tracing::debug!(object = %problem.object, %failure, "no event written");
            }
            Err(failure) => {
                tracing::warn!(object = %problem.object, %failure, "cannot write an event");
            }
        }
        sleep(wait).await;
        wait *= 2;
    }
}

/// The Event for `problem`. Its name depends on nothing but the problem, so that it exists once however
/// often this part is restarted.
fn event(component: &str, problem: &Problem) -> Event {
    let object = &problem.object;
    let mut hasher = DefaultHasher::new();
    (&object.uid, object.generation, problem.reason.to_string()).hash(&mut hasher);
    (&problem.field, &problem.message).hash(&mut hasher);
    let namespace = match object.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    };
    let now = jiff::Timestamp::now();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:016x}", object.name, hasher.finish())),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(object.api_version.clone()),
            kind: Some(object.kind.clone()),
            name: Some(object.name.clone()),
            namespace: Some(object.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            uid: Some(object.uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".into()),
        reason: Some(problem.reason.to_string()),
        message: Some(format!("{}: {}", problem.field, problem.message)),
        source: Some(EventSource {
            component: Some(component.into()),
            host: None,
        }),
        reporting_component: Some(component.into()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

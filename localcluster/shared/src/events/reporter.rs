//! Warnings about an object, written once per generation.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use api_failure::ApiFailure;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{Occurrence, event, namespace_of};
use crate::problem::{Problem, Reason};

/// How long a reference must stay unresolved before it is reported. The objects of a manifest are created one after
/// the other, and a Service may follow the route that names it.
const GRACE: Duration = Duration::from_secs(3);
/// Attempts to write an Event before it is dropped.
const ATTEMPTS: u32 = 5;

/// Writes problems as Events of type `Warning`.
#[derive(Debug)]
pub struct Reporter {
    reported: BTreeSet<Problem>,
    waiting: BTreeMap<Problem, Instant>,
    sender: mpsc::UnboundedSender<Problem>,
}

impl Reporter {
    /// Creates a reporter that writes as `component`. A background task writes the Events one by one and ends with
    /// the reporter.
    pub fn new(client: Client, component: &'static str) -> Self {
        let (sender, mut problems) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(problem) = problems.recv().await {
                write(&client, component, &problem).await;
            }
        });
        Self {
            reported: BTreeSet::new(),
            waiting: BTreeMap::new(),
            sender,
        }
    }

    /// Reports those of the current `problems` that are new. Returns the time of the next call if one of them is
    /// still within its grace period.
    pub fn report(&mut self, problems: &BTreeSet<Problem>) -> Option<Instant> {
        let now = Instant::now();
        self.reported.retain(|problem| problems.contains(problem));
        self.waiting.retain(|problem, _| problems.contains(problem));
        for problem in problems {
            if self.reported.contains(problem) {
                continue;
            }
            if problem.reason == Reason::Unresolved {
                let since = *self.waiting.entry(problem.clone()).or_insert(now);
                if now < since + GRACE {
                    continue;
                }
                self.waiting.remove(problem);
            }
            self.reported.insert(problem.clone());
            tracing::warn!(object = %problem.object, reason = %problem.reason, field = problem.field, "{}", problem.message);
            // Fails only while the runtime shuts down.
            let _ = self.sender.send(problem.clone());
        }
        self.waiting.values().min().map(|since| *since + GRACE)
    }
}

async fn write(client: &Client, component: &str, problem: &Problem) {
    let object = reference(problem);
    let message = format!("{}: {}", problem.field, problem.message);
    let occurrence = Occurrence::warning(problem.reason.as_str(), message);
    let event = event(name(problem), &object, &occurrence, component, "");
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace_of(&object));
    let mut wait = Duration::from_millis(100);
    for _ in 0..ATTEMPTS {
        let created = api.create(&PostParams::default(), &event).await;
        match created.map_err(ApiFailure::from) {
            Ok(_) => return,
            // An earlier process wrote it, or the object or its namespace was deleted.
            Err(failure) if failure.is_refusal() || failure.is_conflict() => {
                return tracing::debug!(object = %problem.object, %failure, "event not written");
            }
            Err(failure) => {
                tracing::warn!(object = %problem.object, %failure, "cannot write an event");
            }
        }
        sleep(wait).await;
        wait *= 2;
    }
}

/// The name of the Event. It depends only on the problem, so that a restart does not add a second Event.
fn name(problem: &Problem) -> String {
    let object = &problem.object;
    let mut hasher = DefaultHasher::new();
    (&object.uid, object.generation, problem.reason.as_str()).hash(&mut hasher);
    (&problem.field, &problem.message).hash(&mut hasher);
    format!("{}.{:016x}", object.name, hasher.finish())
}

fn reference(problem: &Problem) -> ObjectReference {
    let object = &problem.object;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ObjectReference {
        api_version: given(&object.api_version),
        kind: given(&object.kind),
        name: given(&object.name),
        namespace: given(&object.namespace),
        uid: given(&object.uid),
        ..ObjectReference::default()
    }
}

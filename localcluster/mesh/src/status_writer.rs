//! Writes the status of Gateway API objects, and creates the GatewayClasses that Istio installs.
//!
//! A status is written only if it differs from the stored one. Each write wakes the loop that requested it, so
//! unconditional writes would never end.

use std::{collections::BTreeMap, time::Duration};

use api_failure::ApiFailure;
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, PostParams},
    runtime::reflector::Store,
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::{
    gateway_api::{GATEWAY_CONTROLLER, Gateway, GatewayClass, GatewayClassSpec, HTTPRoute},
    problem::ObjectId,
    render::{CLASSES, Status, Verdict},
};

/// The field manager of the writes.
const MANAGER: &str = "localcluster-mesh";
/// Delay between attempts while the API server does not respond.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Copies of the objects whose status is written.
#[derive(Clone, Debug)]
pub(crate) struct StatusStores {
    pub(crate) http_routes: Store<DynamicObject>,
    pub(crate) gateways: Store<DynamicObject>,
    pub(crate) classes: Store<DynamicObject>,
}

/// Writes statuses one after the other in a background task, which ends with this value.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    sender: watch::Sender<Vec<Write>>,
}

#[derive(Clone, Debug)]
enum Write {
    Status(ApiResource, DynamicObject),
    Class(GatewayClass),
}

impl StatusWriter {
    pub(crate) fn new(client: Client) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(work(client, receiver));
        Self { sender }
    }

    /// Schedules a write for every status that differs from the stored one. Replaces the writes that are still
    /// pending.
    pub(crate) fn write(&self, objects: &StatusStores, statuses: &BTreeMap<ObjectId, Status>) {
        let now = Timestamp::now();
        let mut writes = missing_classes(&objects.classes);
        for (kind, store) in [
            (ApiResource::erase::<HTTPRoute>(&()), &objects.http_routes),
            (ApiResource::erase::<Gateway>(&()), &objects.gateways),
            (ApiResource::erase::<GatewayClass>(&()), &objects.classes),
        ] {
            for object in store.state() {
                let id = ObjectId::of_dynamic(&object, &kind.api_version, &kind.kind);
                let Some(status) = statuses.get(&id) else {
                    continue;
                };
                let present = object.data.get("status");
                if let Some(new) = changed(status, present, id.generation, now) {
                    let mut object = DynamicObject::clone(&object);
                    object.data["status"] = new;
                    writes.push(Write::Status(kind.clone(), object));
                }
            }
        }
        self.sender.send_if_modified(|pending| {
            let is_modified = !(pending.is_empty() && writes.is_empty());
            *pending = writes;
            is_modified
        });
    }
}

fn missing_classes(present: &Store<DynamicObject>) -> Vec<Write> {
    let present = present.state();
    let missing = CLASSES
        .iter()
        .filter(|class| present.iter().all(|other| other.name_any() != class.name));
    missing
        .map(|class| {
            let spec = GatewayClassSpec {
                controller_name: class.controller.into(),
                description: Some(class.description.into()),
                parameters_ref: None,
            };
            Write::Class(GatewayClass::new(class.name, spec))
        })
        .collect()
}

async fn work(client: Client, mut receiver: watch::Receiver<Vec<Write>>) {
    // The version last written over, by uid: the local copy lags behind the write for a moment.
    let mut done: BTreeMap<String, String> = BTreeMap::new();
    while receiver.changed().await.is_ok() {
        loop {
            let writes = receiver.borrow_and_update().clone();
            let pending: BTreeMap<String, String> = writes.iter().filter_map(version).collect();
            done.retain(|uid, version| pending.get(uid) == Some(version));
            let mut failed = false;
            for write in &writes {
                let version = version(write);
                if version
                    .as_ref()
                    .is_some_and(|(uid, _)| done.contains_key(uid))
                {
                    continue;
                }
                match perform(&client, write).await {
                    Ok(()) => done.extend(version),
                    // The object was changed or deleted. The watch will report it and start the next attempt.
                    Err(failure) if failure.is_not_found() || failure.is_conflict() => {
                        tracing::debug!(%failure, "status not written: the object has changed");
                    }
                    // The API server would reject the same write again.
                    Err(failure) if failure.is_refusal() => {
                        tracing::warn!(%failure, "cannot write a status");
                        done.extend(version);
                    }
                    Err(failure) => {
                        failed = true;
                        tracing::warn!(%failure, "cannot write a status; retrying");
                    }
                }
            }
            if !failed {
                break;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

/// Uid and resourceVersion of the object whose status is written.
fn version(write: &Write) -> Option<(String, String)> {
    match write {
        Write::Status(_, object) => Some((object.uid()?, object.resource_version()?)),
        Write::Class(_) => None,
    }
}

async fn perform(client: &Client, write: &Write) -> Result<(), ApiFailure> {
    let parameters = PostParams {
        field_manager: Some(MANAGER.into()),
        ..PostParams::default()
    };
    match write {
        Write::Status(kind, object) => {
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(client.clone(), &namespace, kind),
                None => Api::all_with(client.clone(), kind),
            };
            let name = object.name_any();
            api.replace_status(&name, &parameters, object).await?;
        }
        Write::Class(class) => {
            let api: Api<GatewayClass> = Api::all(client.clone());
            api.create(&parameters, class).await?;
        }
    }
    Ok(())
}

/// The status to write, or `None` if it equals the `present` one.
fn changed(
    status: &Status,
    present: Option<&Value>,
    generation: i64,
    now: Timestamp,
) -> Option<Value> {
    let present = present.cloned().unwrap_or_else(|| json!({}));
    let mut new = present.clone();
    let time = Times {
        generation,
        now: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    };
    match status {
        Status::Route(parents) => {
            let before = list(&present["parents"]);
            let is_own = |entry: &&Value| entry["controllerName"] == GATEWAY_CONTROLLER;
            let own: Vec<Value> = parents
                .iter()
                .map(|(parent, verdicts)| {
                    let parent = json!(parent);
                    let mut own = before.iter().filter(is_own);
                    let old = own.find(|entry| entry["parentRef"] == parent);
                    json!({
                        "parentRef": parent,
                        "controllerName": GATEWAY_CONTROLLER,
                        "conditions": time.conditions(verdicts, old.map(|old| &old["conditions"])),
                    })
                })
                .collect();
            // The order of entries of different controllers has no meaning, so compare only our own.
            if before.iter().filter(is_own).eq(own.iter()) {
                return None;
            }
            let others = before.iter().filter(|entry| !is_own(entry)).cloned();
            new["parents"] = others.chain(own).collect();
        }
        Status::Gateway {
            address,
            conditions,
            listeners,
        } => {
            let addresses = address.iter();
            let addresses = addresses.map(|value| json!({ "type": "IPAddress", "value": value }));
            new["addresses"] = addresses.collect();
            new["conditions"] = time.conditions(conditions, Some(&present["conditions"]));
            let before = list(&present["listeners"]);
            let listeners = listeners.iter().map(|listener| {
                let old = before.iter().find(|old| old["name"] == listener.name);
                let old = old.map(|old| &old["conditions"]);
                json!({
                    "name": listener.name,
                    "supportedKinds": listener.kinds,
                    "attachedRoutes": listener.attached,
                    "conditions": time.conditions(&listener.conditions, old),
                })
            });
            new["listeners"] = listeners.collect();
        }
        Status::Class(conditions) => {
            new["conditions"] = time.conditions(conditions, Some(&present["conditions"]));
        }
    }
    (new != present).then_some(new)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields that turn a verdict into a condition.
struct Times {
    generation: i64,
    now: String,
}

impl Times {
    /// Conditions of `verdicts`. A condition whose status has not changed keeps the time of the `old` one.
    fn conditions(&self, verdicts: &[Verdict], old: Option<&Value>) -> Value {
        let old = old.map(list).unwrap_or_default();
        let conditions = verdicts.iter().map(|verdict| {
            let since = old
                .iter()
                .find(|old| old["type"] == verdict.kind && old["status"] == verdict.status)
                .and_then(|old| old["lastTransitionTime"].as_str());
            json!({
                "type": verdict.kind,
                "status": verdict.status,
                "reason": verdict.reason,
                "message": verdict.message,
                "observedGeneration": self.generation,
                "lastTransitionTime": since.unwrap_or(&self.now),
            })
        });
        conditions.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn route(status: &'static str, message: &str) -> Status {
        let parent = json!({ "group": "", "kind": "Service", "name": "app" });
        let verdict = |kind, status, message: &str| Verdict {
            kind,
            status,
            reason: "Because",
            message: message.into(),
        };
        let verdicts = vec![
            verdict("Accepted", status, message),
            verdict("ResolvedRefs", "True", ""),
        ];
        Status::Route(vec![(serde_json::from_value(parent).unwrap(), verdicts)])
    }

    #[test]
    fn an_unchanged_status_is_not_written_again() {
        let gateway = Status::Gateway {
            address: Some("127.0.0.1".into()),
            conditions: vec![],
            listeners: vec![],
        };
        for status in [route("True", "fine"), Status::Route(vec![]), gateway] {
            let stored = changed(&status, None, 1, time(1)).unwrap_or_else(|| json!({}));
            assert_eq!(
                changed(&status, Some(&stored), 1, time(2)),
                None,
                "{status:?}"
            );
        }
    }

    #[test]
    fn a_new_generation_is_written_and_the_transition_time_changes_only_with_the_status() {
        let first = changed(&route("True", "fine"), None, 1, time(1)).unwrap();
        let second = changed(&route("True", "fine"), Some(&first), 2, time(2)).unwrap();
        let third = changed(&route("False", "wrong"), Some(&second), 2, time(3)).unwrap();
        let accepted = |status: &Value| {
            let accepted = &status["parents"][0]["conditions"][0];
            let time = accepted["lastTransitionTime"].as_str().unwrap().to_owned();
            (time, accepted["observedGeneration"].as_i64().unwrap())
        };
        assert_eq!(accepted(&first), ("1970-01-01T00:00:01Z".into(), 1));
        assert_eq!(accepted(&second), ("1970-01-01T00:00:01Z".into(), 2));
        assert_eq!(accepted(&third), ("1970-01-01T00:00:03Z".into(), 2));
        let resolved = &third["parents"][0]["conditions"][1]["lastTransitionTime"];
        assert_eq!(resolved, "1970-01-01T00:00:01Z");
    }

    #[test]
    fn entries_of_other_controllers_are_kept() {
        let other = json!({ "controllerName": "example.com/other", "parentRef": { "name": "x" } });
        let present = json!({ "parents": [other] });
        let stored = changed(&route("True", ""), Some(&present), 1, time(1)).unwrap();
        assert_eq!(stored["parents"][0], other);
        assert_eq!(stored["parents"][1]["controllerName"], GATEWAY_CONTROLLER);
        let swapped = json!({ "parents": [stored["parents"][1], other] });
        assert_eq!(
            changed(&route("True", ""), Some(&swapped), 1, time(2)),
            None
        );
        let removed = changed(&Status::Route(vec![]), Some(&stored), 1, time(2)).unwrap();
        assert_eq!(removed, present);
    }
}

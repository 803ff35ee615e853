//! Writes the status of the Gateway API's objects, and makes the classes that exist wherever Istio is.
//!
//! A status is written only when it says something new: a write wakes up the loop that asked for
//! it, and then there is nothing more to say.

use std::{collections::BTreeMap, time::Duration};

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

/// Who writes, among the managers of fields.
const MANAGER: &str = "localcluster-mesh";
/// Time between tries when the API server does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Copies of the objects that are answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) http_routes: Store<DynamicObject>,
    pub(crate) gateways: Store<DynamicObject>,
    pub(crate) classes: Store<DynamicObject>,
}

/// Writes statuses one after the other in a task that ends with it.
#[derive(Debug)]
pub(crate) struct Answers {
    sender: watch::Sender<Vec<Write>>,
}

#[derive(Clone, Debug)]
enum Write {
    Status(ApiResource, DynamicObject),
    Class(GatewayClass),
}

impl Answers {
    pub(crate) fn new(client: Client) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(work(client, receiver));
        Self { sender }
    }

    /// Tell objects what they do not say yet; takes the place of what was not written so far.
    pub(crate) fn answer(&self, objects: &Answered, statuses: &BTreeMap<ObjectId, Status>) {
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
                if let Some(new) = news(status, present, id.generation, now) {
                    let mut object = DynamicObject::clone(&object);
                    object.data["status"] = new;
                    writes.push(Write::Status(kind.clone(), object));
                }
            }
        }
        self.sender.send_if_modified(|waiting| {
            let is_news = !(waiting.is_empty() && writes.is_empty());
            *waiting = writes;
            is_news
        });
    }
}

fn missing_classes(present: &Store<DynamicObject>) -> Vec<Write> {
    let present = present.state();
    let missing = CLASSES
        .iter()
        .filter(|(name, _)| present.iter().all(|class| class.name_any() != *name));
    missing
        .map(|(name, controller)| {
            let spec = GatewayClassSpec {
                controller_name: (*controller).into(),
                description: Some("The default Istio GatewayClass".into()),
                parameters_ref: None,
            };
            Write::Class(GatewayClass::new(name, spec))
        })
        .collect()
}

async fn work(client: Client, mut receiver: watch::Receiver<Vec<Write>>) {
    // By uid, the version that was answered last: the copy may be older than the answer for a moment.
    let mut answered: BTreeMap<String, String> = BTreeMap::new();
    while receiver.changed().await.is_ok() {
        loop {
            let writes = receiver.borrow_and_update().clone();
            let mut failed = false;
            for write in writes {
                let version = version(&write);
                if version.is_some_and(|(uid, version)| answered.get(&uid) == Some(&version)) {
                    continue;
                }
                match perform(&client, &write).await {
                    Ok(()) => answered.extend(self::version(&write)),
                    // Changed or gone since: the watch tells, and then there is a new answer.
                    Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {
                        tracing::debug!(%status, "not answered");
                    }
                    Err(error) => {
                        failed = true;
                        tracing::warn!(%error, "cannot write a status; trying again");
                    }
                }
            }
            if !failed {
                break;
            }
            sleep(AGAIN).await;
        }
    }
}

/// Uid and version of the object that is answered.
fn version(write: &Write) -> Option<(String, String)> {
    match write {
        Write::Status(_, object) => Some((object.uid()?, object.resource_version()?)),
        Write::Class(_) => None,
    }
}

async fn perform(client: &Client, write: &Write) -> kube::Result<()> {
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
            let written = api.replace_status(&name, &parameters, object).await;
            written.map(drop)
        }
        Write::Class(class) => {
            let api: Api<GatewayClass> = Api::all(client.clone());
            api.create(&parameters, class).await.map(drop)
        }
    }
}

/// The status to write, `None` when the `present` one says it all.
fn news(
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
            // The order among controllers is nobody's, so it makes no difference.
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

/// What is added to a verdict to make a condition of it.
struct Times {
    generation: i64,
    now: String,
}

impl Times {
    /// Conditions that keep the time of the `old` ones where the status is the same.
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

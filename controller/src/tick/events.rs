//! Events on the Canary. Their names follow from their keys, so that a plan that is applied twice publishes
//! each event once.

use std::{collections::BTreeMap, time::Duration};

use api_failure::ApiFailure;
use canary_engine::{action::Event, canary::HookKind, status::Status};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{context::Context, once::Sent};
use crate::{
    cluster::{Object, digest},
    process::clock::seconds,
    release::{HookCall, Release},
    webhooks::{self, Payload},
};

/// The component that events name as their source, as Flagger's do.
pub const COMPONENT: &str = "flagger";

/// The API server's limit for the messages of newer events; `status` has the whole text.
const LONGEST_MESSAGE: usize = 1024;

/// A quota for events, or their own store being down, must not hold up a rollback for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Publishes an event, and returns whether it is new. One that this process has published, or that exists already, is not.
/// One that is refused (a quota, a policy, the events' own store) is left to the log: events are for people, and what
/// they report goes on.
///
/// # Errors
/// When the API server cannot be reached, as nothing else can be done then either.
pub async fn publish(object: &Object, event: &Event, ctx: &Context) -> Result<bool, ApiFailure> {
    let namespace = object.namespace().unwrap_or_default();
    let name = name(object, event);
    let memory = format!("{namespace}/{name}");
    let before = ctx.events.outcome(&memory);
    if before == Some(Sent::Answered) {
        return Ok(false);
    }
    let body = body(object, event, &seconds(ctx.clock.now()), &ctx.instance);
    let resource = ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Event".to_owned(),
        plural: "events".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.cluster.client(), &namespace, &resource);
    let new: DynamicObject = serde_json::from_value(body)?;
    let canary = format!("{}.{namespace}", object.name_any());
    let params = PostParams::default();
    let create = async { api.create(&params, &new).await.map_err(ApiFailure::from) };
    let created = tokio::time::timeout(LONGEST_WAIT, create).await;
    let refusal = match created {
        Ok(Ok(_)) => None,
        Ok(Err(failure)) if failure.is_conflict() => {
            ctx.events.remember(&memory, Sent::Answered);
            // If nobody answered the last time, it is most likely this process that stored it.
            return Ok(before == Some(Sent::Unanswered));
        }
        Ok(Err(failure)) if failure.code().is_some() => Some(failure.to_string()),
        Ok(Err(failure)) => {
            ctx.events.remember(&memory, Sent::Unanswered);
            return Err(failure);
        }
        Err(_) => Some(format!("no answer within {} s", LONGEST_WAIT.as_secs())),
    };
    ctx.events.remember(&memory, Sent::Answered);
    if let Some(refusal) = refusal {
        warn!(canary, refusal, "an event could not be published");
    }
    if event.warning {
        warn!(canary, action = event.action, "{}", event.message);
    } else {
        info!(canary, action = event.action, "{}", event.message);
    }
    Ok(true)
}

/// The name of an event follows from its key, so that the API server refuses to store it twice.
fn name(object: &Object, event: &Event) -> String {
    let uid = object.uid().unwrap_or_default();
    let key = digest::short(&format!("{uid}\n{}", event.key), 8);
    format!("{}.{key}", object.name_any())
}

fn body(object: &Object, event: &Event, now: &str, instance: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name(object, event),
            "namespace": object.namespace(),
        },
        "involvedObject": {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "namespace": object.namespace(),
            "name": object.name_any(),
            "uid": object.uid().unwrap_or_default(),
            "resourceVersion": object.resource_version(),
        },
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": "Synced",
        "message": cut(&event.message),
        "action": event.action,
        "source": { "component": COMPONENT },
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

fn cut(message: &str) -> String {
    if message.chars().count() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let head: String = message.chars().take(LONGEST_MESSAGE - 1).collect();
    format!("{head}…")
}

/// Tells the event webhooks of a canary, or the controller's own, about an event. In the background: a dead
/// endpoint must not slow a release.
pub fn tell_webhooks(release: &Release, status: &Status, event: &Event, ctx: &Context) {
    for hook in event_hooks(release, ctx) {
        let mut metadata = BTreeMap::from([
            ("eventMessage".to_owned(), event.message.clone()),
            (
                "eventType".to_owned(),
                if event.warning { "Warning" } else { "Normal" }.to_owned(),
            ),
            (
                "timestamp".to_owned(),
                ctx.clock.now().as_millisecond().to_string(),
            ),
        ]);
        for (key, value) in hook.spec.metadata.iter().flatten() {
            metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let payload = Payload::new(release, status, status.phase, metadata);
        let transport = std::sync::Arc::clone(&ctx.transport);
        let canary = format!("{}.{}", release.canary.name, release.namespace());
        let owner = canary.clone();
        ctx.background.submit(
            &owner,
            Box::pin(async move {
                use canary_engine::question::HookAnswer;
                if let HookAnswer::Refused(why) =
                    webhooks::call(transport.as_ref(), &hook, &payload).await
                {
                    warn!(
                        canary,
                        webhook = hook.spec.name,
                        why,
                        "event webhook failed"
                    );
                }
            }),
        );
    }
}

/// Flagger: the global webhook only if the canary has none of its own.
fn event_hooks(release: &Release, ctx: &Context) -> Vec<HookCall> {
    let own: Vec<_> = release
        .hooks
        .iter()
        .filter(|hook| hook.kind == HookKind::Event)
        .cloned()
        .collect();
    if !own.is_empty() {
        return own;
    }
    let global = ctx.settings.event_webhook.iter().map(|url| HookCall {
        kind: HookKind::Event,
        spec: crate::api::Webhook {
            name: "event".to_owned(),
            url: url.clone(),
            ..Default::default()
        },
        timeout: Duration::from_secs(10),
        retries: 0,
    });
    global.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_the_limit_ends_with_a_sign_that_it_is_cut() {
        assert_eq!(cut(&"ü".repeat(1024)), "ü".repeat(1024));
        assert_eq!(cut(&"ü".repeat(1025)), format!("{}…", "ü".repeat(1023)));
    }

    #[test]
    fn the_event_as_published() {
        let object: Object = serde_json::from_value(json!({
            "metadata": { "name": "app", "namespace": "ns", "uid": "u1", "resourceVersion": "7" } }))
        .unwrap();
        let event = Event {
            warning: false,
            message: "Advance app.ns canary weight 10".to_owned(),
            action: "Advance",
            key: "run/weight/10".to_owned(),
        };
        insta::assert_yaml_snapshot!(body(&object, &event, "2023-11-14T22:13:20Z", "pod-1"));
    }
}

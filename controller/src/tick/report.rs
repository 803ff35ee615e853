//! Tells people, once, what keeps a canary from being worked on.

use canary_engine::action::Event;
use kube::runtime::controller::Action;
use serde_json::json;
use tracing::warn;

use super::{
    apply::{ApplyError, write_status},
    claims,
    context::Context,
    definition::Dropped,
    events,
    reconcile::{TickError, full_name},
};
use crate::{
    cluster::{Object, digest},
    release::{Release, problem::Problems, status},
};

/// Refuses a Canary: one event and a visible reason, then nothing until it or what it refers to changes.
///
/// # Errors
/// When the event or the reason cannot be written.
pub async fn refuse(
    object: &Object,
    problems: &Problems,
    ctx: &Context,
) -> Result<Action, TickError> {
    let message = format!("Canary {} is not valid: {problems}", full_name(object));
    let raw = status::of_object(object);
    let waiting = json!({ "reason": status::INVALID, "message": message, "announced": true });
    if json!(raw.waiting) != waiting {
        let canary = full_name(object);
        warn!(canary, %problems, "refused");
        let generation = object.metadata.generation.unwrap_or(0);
        let key = format!("invalid/{generation}/{}", digest::short(&message, 8));
        let event = Event {
            warning: true,
            message,
            action: "Invalid",
            key,
        };
        events::publish(object, &event, ctx)
            .await
            .map_err(ApplyError::Event)?;
        write_status(object, &raw, json!({ "waiting": waiting }), ctx).await?;
    }
    Ok(Action::await_change())
}

/// Says once for each version of the spec what the user should know although nothing is refused. True if there was
/// something to say.
///
/// # Errors
/// When the event cannot be written.
pub async fn remark(object: &Object, release: &Release, ctx: &Context) -> Result<bool, TickError> {
    let mut said = false;
    for remark in &release.remarks {
        let key = format!(
            "remark/{}/{remark}",
            object.metadata.generation.unwrap_or(0)
        );
        if ctx.remarked.is_new(&release.uid, &key) {
            let event = Event {
                warning: true,
                message: remark.clone(),
                action: "Remark",
                key,
            };
            events::publish(object, &event, ctx)
                .await
                .map_err(ApplyError::Event)?;
            said = true;
        }
    }
    Ok(said)
}

/// Says once for each process that the status of a Canary would not be kept.
///
/// # Errors
/// When the event cannot be written.
pub async fn definition(
    object: &Object,
    dropped: &Dropped,
    ctx: &Context,
) -> Result<(), TickError> {
    // Which fields are named depends on what was written or tried last; it is the same news all the same.
    let key = "definition";
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    if ctx.remarked.is_new(uid, key) {
        let event = Event {
            warning: true,
            message: dropped.to_string(),
            action: "Definition",
            key: key.to_owned(),
        };
        events::publish(object, &event, ctx)
            .await
            .map_err(ApplyError::Event)?;
    }
    Ok(())
}

/// Says what the API server refused (a generated object that an admission webhook does not accept, a missing
/// permission) in an event and in `status.waiting`: otherwise only the log would know why nothing moves.
pub async fn complain(object: &Object, failure: &TickError, ctx: &Context) {
    let TickError::Apply(ApplyError::Write(error)) = failure else {
        return;
    };
    let is_refusal = error
        .code()
        .is_some_and(|code| (400..500).contains(&code) && code != 409 && code != 429);
    if !is_refusal {
        return;
    }
    let message = match error.next_step() {
        Some(step) => format!("{error}; {step}"),
        None => error.to_string(),
    };
    let message = match claims::made_so_far(object, ctx) {
        Some(made) => format!("{message}; {made}"),
        None => message,
    };
    let generation = object.metadata.generation.unwrap_or(0);
    let key = format!("refused/{generation}/{}", digest::short(&message, 8));
    let uid = object.metadata.uid.clone().unwrap_or_default();
    if ctx.remarked.is_new(&uid, &key) {
        let event = Event {
            warning: true,
            message: message.clone(),
            action: "Refused",
            key,
        };
        if let Err(error) = events::publish(object, &event, ctx).await {
            warn!(canary = full_name(object), %error, "cannot publish an event");
        }
    }
    // Events are forgotten after an hour; a permission may be missing for longer.
    let raw = status::of_object(object);
    let waiting = json!({ "reason": status::REFUSED, "message": message, "announced": true });
    if json!(raw.waiting) != waiting
        && let Err(error) = write_status(object, &raw, json!({ "waiting": waiting }), ctx).await
    {
        warn!(canary = full_name(object), %error, "cannot write why it waits");
    }
}

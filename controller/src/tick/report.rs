//! Reports, once, why a canary is skipped, and which request the API server refused.

use canary_engine::{
    action::{Action as PlannedAction, Event},
    plan,
    question::Answers,
    questions,
};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use tracing::warn;

use super::{
    claims,
    context::Context,
    definition::{self, Dropped},
    error::{ApplyError, TickError},
    events,
    snapshot::{Skip, Snapshot},
    write_status::write_status,
};
use crate::{
    cluster::{Object, digest, full_name},
    release::{Release, problem::Problems, status},
};

/// Reports why a canary is skipped, and returns when it is checked again.
///
/// # Errors
/// When the report cannot be written.
pub async fn skip(skip: Skip, ctx: &Context) -> Result<Action, TickError> {
    match skip {
        Skip::NotYet(pause) => Ok(Action::requeue(pause)),
        Skip::Deleted => Ok(Action::await_change()),
        Skip::Invalid(object, problems) => refuse(&object, &problems, ctx).await,
        Skip::Definition {
            object,
            snapshot,
            dropped,
        } => incomplete_definition(&object, snapshot.as_deref(), &dropped, ctx).await,
    }
}

/// Refuses a Canary: one event and the reason in its status, then nothing until it or an object that it refers to changes.
async fn refuse(object: &Object, problems: &Problems, ctx: &Context) -> Result<Action, TickError> {
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
    let mut published = false;
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
            published = true;
        }
    }
    Ok(published)
}

/// Skips a canary whose status would not be kept, and reports so once. Only the revision that Flagger left there is
/// written, so that one that comes before the definition is fixed is found as new afterwards.
async fn incomplete_definition(
    object: &Object,
    snapshot: Option<&Snapshot>,
    dropped: &Dropped,
    ctx: &Context,
) -> Result<Action, TickError> {
    definition_event(object, dropped, ctx).await?;
    if let Some(snapshot) = snapshot
        && let Some(Value::Object(patch)) = noted(snapshot)
    {
        let kept = dropped.spare(patch);
        // A phase alone, without the revision it belongs to, is of no use.
        if kept.contains_key("lastAppliedSpec") && !kept.contains_key("phase") {
            write_status(&snapshot.object, &snapshot.status, kept.into(), ctx).await?;
        }
    }
    Ok(Action::requeue(definition::PAUSE))
}

/// The change of the status, if nothing is to be asked and nothing else to be done but repairs.
fn noted(snapshot: &Snapshot) -> Option<Value> {
    let (canary, answers) = (&snapshot.release.canary, Answers::default());
    if !questions(canary, &snapshot.observed, &answers).is_empty() {
        return None;
    }
    let mut actions = plan(canary, &snapshot.observed, &answers).actions;
    actions.retain(|action| !action.is_repair());
    match actions.as_slice() {
        [PlannedAction::WriteStatus(new)] => {
            let (kind, now) = (canary.target.kind, snapshot.observed.now);
            status::patch(&snapshot.status, new, kind, now)
        }
        _ => None,
    }
}

/// Publishes, once for each process, that the status of a Canary would not be kept.
async fn definition_event(
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
    if !error.is_refusal() {
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

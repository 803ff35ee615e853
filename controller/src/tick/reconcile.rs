//! One tick of one canary: snapshot, ask, snapshot again, plan, apply.

use std::{ops::ControlFlow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use canary_engine::{action::Action as PlannedAction, plan, question::Answers, questions};
use futures::FutureExt;
use kube::{ResourceExt, runtime::controller::Action};
use serde_json::json;
use tracing::{debug, error, warn};

use super::{
    adoption::adopt,
    apply::Executor,
    ask::answer,
    context::Context,
    dry_run::Beginning,
    error::{ApplyError, TickError},
    report,
    snapshot::{self, SHORTLY, Skip, Snapshot},
    write_status::write_status,
};
use crate::{
    api::CanaryStatus,
    cluster::{Kind, Object, full_name},
    process::lease::LostLease,
    release::status,
};

/// One tick. A panic ends the tick, not the process.
///
/// # Errors
/// When the tick could not be completed.
pub async fn reconcile(object: Arc<Object>, ctx: Arc<Context>) -> Result<Action, TickError> {
    let started = ctx.clock.now();
    // Requests that hang, or take long, must not outlive the permission to act.
    let fenced = async {
        tokio::select! {
            () = ctx.fence.closed() => Err(LostLease.into()),
            result = tick_or_complain(&object, &ctx) => result,
        }
    };
    let outcome = AssertUnwindSafe(fenced).catch_unwind().await;
    let canary = full_name(&object);
    match outcome {
        Ok(result) => {
            if result.is_ok() {
                ctx.failures.clear(&canary);
            }
            ctx.metrics
                .ticked(&object, ctx.clock.now().duration_since(started));
            result
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(TickError::Panic(
                text.unwrap_or_else(|| "panic without text".to_owned()),
            ))
        }
    }
}

/// A tick, and a report of what the API server refused in it.
async fn tick_or_complain(object: &Arc<Object>, ctx: &Context) -> Result<Action, TickError> {
    let result = tick(object, ctx).await;
    if let Err(failure) = &result {
        // The tick took its time, and may have written the status itself.
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let current = ctx.cluster.get(Kind::CANARY, &namespace, &name);
        let current = current.filter(|current| current.uid() == object.uid());
        report::complain(current.as_ref().unwrap_or(object), failure, ctx).await;
    }
    result
}

async fn tick(object: &Object, ctx: &Context) -> Result<Action, TickError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let mut snapshot = match snapshot::take(&namespace, &name, ctx).await? {
        ControlFlow::Continue(snapshot) => snapshot,
        ControlFlow::Break(skip) => return report::skip(skip, ctx).await,
    };
    if waits_for(&snapshot.status, status::INVALID) {
        write_status(
            &snapshot.object,
            &snapshot.status,
            json!({ "waiting": null }),
            ctx,
        )
        .await?;
        return Ok(Action::requeue(SHORTLY));
    }
    let remarked = report::remark(&snapshot.object, &snapshot.release, ctx).await?;
    if remarked | adopt(&snapshot, ctx).await? {
        // That took a while.
        return Ok(Action::requeue(Duration::ZERO));
    }
    // Answers take seconds, and more with every question. Whatever happened in between (a suspension, another revision,
    // pods that are gone) is seen before anything is done about them.
    let mut answers = Answers::default();
    loop {
        let batch = questions(&snapshot.release.canary, &snapshot.observed, &answers);
        if batch.is_empty() {
            break;
        }
        let (release, status) = (&snapshot.release, &snapshot.observed.status);
        answers
            .given
            .extend(answer(batch, release, status, ctx).await);
        snapshot = match take_again(&snapshot, ctx).await? {
            ControlFlow::Continue(again) => again,
            ControlFlow::Break(skip) => return report::skip(skip, ctx).await,
        };
    }
    if try_creations(&snapshot, &answers, ctx).await? {
        snapshot = match take_again(&snapshot, ctx).await? {
            ControlFlow::Continue(again) => again,
            ControlFlow::Break(skip) => return report::skip(skip, ctx).await,
        };
    }
    act(&snapshot, &answers, ctx).await
}

/// The next snapshot of the same canary, after something that took its time. It is skipped if the answers so far do not
/// hold for it.
async fn take_again(
    earlier: &Snapshot,
    ctx: &Context,
) -> Result<ControlFlow<Skip, Snapshot>, TickError> {
    let (namespace, name) = (earlier.release.namespace(), &earlier.release.canary.name);
    Ok(match snapshot::take(namespace, name, ctx).await? {
        ControlFlow::Continue(again) if !again.keeps_answers_of(earlier) => {
            let canary = full_name(&earlier.object);
            debug!(canary, "changed meanwhile");
            ControlFlow::Break(Skip::NotYet(Duration::ZERO))
        }
        same => same,
    })
}

/// Tries what the plan will create; whether there was anything to try.
async fn try_creations(
    snapshot: &Snapshot,
    answers: &Answers,
    ctx: &Context,
) -> Result<bool, TickError> {
    let plan = plan(&snapshot.release.canary, &snapshot.observed, answers);
    let Some(beginning) = Beginning::of(snapshot, &plan.actions, &ctx.cluster) else {
        return Ok(false);
    };
    ctx.fence.check()?;
    executor(snapshot, ctx)
        .dry_run(beginning, &snapshot.observed)
        .await?;
    Ok(true)
}

/// Plans a tick and applies the plan.
async fn act(snapshot: &Snapshot, answers: &Answers, ctx: &Context) -> Result<Action, TickError> {
    let (object, observed) = (&snapshot.object, &snapshot.observed);
    let plan = plan(&snapshot.release.canary, observed, answers);
    ctx.metrics.observed(&snapshot.release, &observed.status);
    if let Some(wait) = ctx.repairs.too_often(&full_name(object), &plan.actions) {
        warn!(
            canary = full_name(object),
            "something else keeps changing the generated objects"
        );
        return Ok(Action::requeue(wait));
    }
    executor(snapshot, ctx).apply(&plan.actions).await?;
    let writes_status = |action: &PlannedAction| matches!(action, PlannedAction::WriteStatus(_));
    if waits_for(&snapshot.status, status::REFUSED) && !plan.actions.iter().any(writes_status) {
        write_status(object, &snapshot.status, json!({ "waiting": null }), ctx).await?;
    }
    Ok(plan
        .requeue
        .map_or_else(Action::await_change, Action::requeue))
}

fn executor<'a>(snapshot: &'a Snapshot, ctx: &'a Context) -> Executor<'a> {
    Executor {
        object: &snapshot.object,
        release: &snapshot.release,
        status: &snapshot.observed.status,
        revision: &snapshot.observed.target.revision,
        router: snapshot.router,
        ctx,
        cluster: &ctx.cluster,
    }
}

fn waits_for(status: &CanaryStatus, reason: &str) -> bool {
    let waiting = status.waiting.as_ref();
    waiting.is_some_and(|waiting| waiting.reason == reason)
}

/// The pause after a failed tick. It grows with each failure, and is short after a race.
#[must_use]
pub fn on_error(object: &Object, failure: &TickError, ctx: &Context) -> Action {
    let canary = full_name(object);
    match failure {
        TickError::Apply(race) if race.is_race() => {
            debug!(canary, %failure, "changed meanwhile");
            Action::requeue(ctx.failures.wait(&canary) / 5)
        }
        TickError::Apply(ApplyError::Lease(_)) => {
            debug!(canary, %failure, "stopped");
            Action::requeue(SHORTLY)
        }
        TickError::Panic(_) => {
            error!(canary, %failure, "tick failed");
            Action::requeue(ctx.failures.wait(&canary))
        }
        _ => {
            warn!(canary, %failure, "tick failed");
            Action::requeue(ctx.failures.wait(&canary))
        }
    }
}

//! One tick of one canary: look, ask, look again, plan, apply.

use std::{ops::ControlFlow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use canary_engine::{action::Action as PlannedAction, plan, question::Answers, questions};
use futures::FutureExt;
use kube::{ResourceExt, runtime::controller::Action};
use serde_json::json;
use tracing::{debug, error, warn};

use super::{
    adoption::adopt,
    apply::{ApplyError, Tick, write_status},
    ask::answer,
    context::Context,
    dry_run::Beginning,
    report,
    snapshot::{SHORTLY, Sight, look},
};
use crate::{
    api::CanaryStatus,
    cluster::{Kind, Object, WriteError},
    process::lease::LostLease,
    release::status,
};

/// Why a tick failed; the next one comes after a pause.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// An action failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A read failed.
    #[error("read: {0}")]
    Read(#[from] kube::Error),
    /// A defect of this program, confined to one canary.
    #[error("defect: {0}")]
    Panic(String),
}

impl From<LostLease> for TickError {
    fn from(error: LostLease) -> Self {
        Self::Apply(error.into())
    }
}

impl From<WriteError> for TickError {
    fn from(error: WriteError) -> Self {
        Self::Apply(error.into())
    }
}

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
        let current = ctx.cluster.get(Kind::Canary, &namespace, &name);
        let current = current.filter(|current| current.uid() == object.uid());
        report::complain(current.as_ref().unwrap_or(object), failure, ctx).await;
    }
    result
}

async fn tick(object: &Object, ctx: &Context) -> Result<Action, TickError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let mut sight = match look(&namespace, &name, ctx).await? {
        ControlFlow::Continue(sight) => sight,
        ControlFlow::Break(end) => return Ok(end),
    };
    if waits_for(&sight.status, status::INVALID) {
        write_status(
            &sight.object,
            &sight.status,
            json!({ "waiting": null }),
            ctx,
        )
        .await?;
        return Ok(Action::requeue(SHORTLY));
    }
    let remarked = report::remark(&sight.object, &sight.release, ctx).await?;
    if remarked | adopt(&sight, ctx).await? {
        // That took a while.
        return Ok(Action::requeue(Duration::ZERO));
    }
    // Answers take seconds, and more with every question. Whatever happened meanwhile (a suspension, another revision,
    // pods that are gone) is seen before anything is done about them.
    let mut answers = Answers::default();
    loop {
        let batch = questions(&sight.release.canary, &sight.observed, &answers);
        if batch.is_empty() {
            break;
        }
        let (release, status) = (&sight.release, &sight.observed.status);
        answers
            .given
            .extend(answer(batch, release, status, ctx).await);
        sight = match look_again(&sight, ctx).await? {
            ControlFlow::Continue(again) => again,
            ControlFlow::Break(end) => return Ok(end),
        };
    }
    if try_creations(&sight, &answers, ctx).await? {
        sight = match look_again(&sight, ctx).await? {
            ControlFlow::Continue(again) => again,
            ControlFlow::Break(end) => return Ok(end),
        };
    }
    carry_out(&sight, &answers, ctx).await
}

/// The canary after something that took its time, or the end of the tick if it is another one by now.
async fn look_again(
    earlier: &Sight,
    ctx: &Context,
) -> Result<ControlFlow<Action, Sight>, TickError> {
    let (namespace, name) = (earlier.release.namespace(), &earlier.release.canary.name);
    Ok(match look(namespace, name, ctx).await? {
        ControlFlow::Continue(again) if !again.asks_what(earlier) => {
            let canary = full_name(&earlier.object);
            debug!(canary, "changed meanwhile");
            ControlFlow::Break(Action::requeue(Duration::ZERO))
        }
        same => same,
    })
}

/// Tries what the plan will create; whether there was anything to try.
async fn try_creations(sight: &Sight, answers: &Answers, ctx: &Context) -> Result<bool, TickError> {
    let plan = plan(&sight.release.canary, &sight.observed, answers);
    let Some(beginning) = Beginning::of(sight, &plan.actions, &ctx.cluster) else {
        return Ok(false);
    };
    ctx.fence.check()?;
    tick_on(sight, ctx)
        .dry_run(beginning, &sight.observed)
        .await?;
    Ok(true)
}

/// Plans a tick and does what the plan says.
async fn carry_out(sight: &Sight, answers: &Answers, ctx: &Context) -> Result<Action, TickError> {
    let (object, observed) = (&sight.object, &sight.observed);
    let plan = plan(&sight.release.canary, observed, answers);
    ctx.metrics.observed(&sight.release, &observed.status);
    if let Some(wait) = ctx.repairs.too_often(&full_name(object), &plan.actions) {
        warn!(
            canary = full_name(object),
            "something else keeps changing the generated objects"
        );
        return Ok(Action::requeue(wait));
    }
    tick_on(sight, ctx).apply(&plan.actions).await?;
    let writes_status = |action: &PlannedAction| matches!(action, PlannedAction::WriteStatus(_));
    if waits_for(&sight.status, status::REFUSED) && !plan.actions.iter().any(writes_status) {
        write_status(object, &sight.status, json!({ "waiting": null }), ctx).await?;
    }
    Ok(plan
        .requeue
        .map_or_else(Action::await_change, Action::requeue))
}

fn tick_on<'a>(sight: &'a Sight, ctx: &'a Context) -> Tick<'a> {
    Tick {
        object: &sight.object,
        release: &sight.release,
        status: &sight.observed.status,
        revision: &sight.observed.target.revision,
        router: sight.router,
        ctx,
        cluster: &ctx.cluster,
    }
}

fn waits_for(status: &CanaryStatus, reason: &str) -> bool {
    let waiting = status.waiting.as_ref();
    waiting.is_some_and(|waiting| waiting.reason == reason)
}

/// What happens after a failed tick: it is looked at again after a pause that grows, a short one after a race.
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

/// `NAME.NAMESPACE`
pub(crate) fn full_name(object: &Object) -> String {
    format!(
        "{}.{}",
        object.name_any(),
        object.namespace().unwrap_or_default()
    )
}

//! One tick of one canary: observe, ask, plan, apply.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use canary_engine::{action::Action as PlannedAction, plan, question::Answers, questions};
use futures::FutureExt;
use kube::{ResourceExt, runtime::controller::Action};
use serde_json::json;
use tracing::{debug, error, warn};

use crate::{
    answer::answer,
    apply::{ApplyError, Tick, write_status},
    cluster::{Freshness, Kind, Object, WriteError},
    context::Context,
    crd::CanaryStatus,
    explain,
    lease::LostLease,
    observe::observe,
    routing, status,
    validate::{Problem, Problems, validate},
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

/// How soon to look again when the local copies are behind; the watch event usually comes first.
const SHORTLY: Duration = Duration::from_secs(1);

/// One tick. A panic ends the tick, not the process.
///
/// # Errors
/// When the tick could not be completed.
pub async fn reconcile(object: Arc<Object>, ctx: Arc<Context>) -> Result<Action, TickError> {
    let started = ctx.clock.now();
    let outcome = AssertUnwindSafe(tick(&object, &ctx)).catch_unwind().await;
    let canary = full_name(&object);
    match outcome {
        Ok(result) => {
            match &result {
                Ok(_) => ctx.failures.clear(&canary),
                Err(failure) => explain::complain(&object, failure, &ctx).await,
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

async fn tick(object: &Object, ctx: &Context) -> Result<Action, TickError> {
    ctx.fence.check()?;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // 1. Only copies that are complete and show every own write can be planned on.
    if let Some((kind, why)) = ctx.cluster.unready().first() {
        debug!(kind = %kind.qualified(), why, "waiting for a local copy");
        return Ok(Action::requeue(SHORTLY));
    }
    if let Freshness::Behind(key) = ctx.cluster.freshness(&namespace).await? {
        debug!(kind = %key.kind, name = key.name, "waiting for an own write to show");
        return Ok(Action::requeue(SHORTLY));
    }
    let Some(object) = ctx.cluster.get(Kind::Canary, &namespace, &name) else {
        return Ok(Action::await_change());
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // 2. Validate and observe.
    let release = match validate(&object, ctx.cluster.as_ref(), &ctx.settings) {
        Ok(release) => release,
        Err(problems) => return explain::refuse(&object, &problems, ctx).await,
    };
    let Some(router) = routing::find(&release.canary.provider) else {
        return Ok(Action::await_change());
    };
    let missing = router
        .kinds()
        .iter()
        .find_map(|kind| ctx.cluster.unavailable(*kind));
    if let Some(why) = missing {
        let mend = "the cluster is looked at again once a minute";
        let problem = Problem::new("spec.provider", why, mend);
        return explain::refuse(&object, &Problems(vec![problem]), ctx).await;
    }
    let raw = status::of_object(&object);
    let observed = match observe(
        &release,
        &raw,
        &ctx.cluster,
        router,
        &ctx.settings,
        ctx.clock.now(),
    ) {
        Ok(observed) => observed,
        Err(problems) => return explain::refuse(&object, &problems, ctx).await,
    };
    if waits_for(&raw, status::INVALID) {
        write_status(&object, &raw, json!({ "waiting": null }), ctx).await?;
        return Ok(Action::requeue(SHORTLY));
    }
    explain::remark(&object, &release, ctx).await?;
    // 3. Ask.
    let mut answers = Answers::default();
    loop {
        let batch = questions(&release.canary, &observed, &answers);
        if batch.is_empty() {
            break;
        }
        answers
            .given
            .extend(answer(batch, &release, &observed.status, ctx).await);
    }
    // 4. Plan, and carry it out.
    let plan = plan(&release.canary, &observed, &answers);
    ctx.metrics.observed(&release, &observed.status);
    let tick = Tick {
        object: &object,
        release: &release,
        status: &observed.status,
        router,
        ctx,
    };
    if let Some(wait) = ctx.repairs.too_often(&full_name(&object), &plan.actions) {
        warn!(
            canary = full_name(&object),
            "something else keeps changing the generated objects"
        );
        return Ok(Action::requeue(wait));
    }
    tick.apply(&plan.actions).await?;
    let writes_status = |action: &PlannedAction| matches!(action, PlannedAction::WriteStatus(_));
    if waits_for(&raw, status::REFUSED) && !plan.actions.iter().any(writes_status) {
        write_status(&object, &raw, json!({ "waiting": null }), ctx).await?;
    }
    Ok(plan
        .requeue
        .map_or_else(Action::await_change, Action::requeue))
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

//! One look at a canary: all that a tick is decided on, from the local copies.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use canary_engine::observed::Observed;
use kube::runtime::controller::Action;
use tracing::debug;

use super::{
    context::Context, definition, observe::observe, reconcile::TickError, report, wake::concerns,
};
use crate::{
    api::CanaryStatus,
    cluster::{Freshness, Kind, Object},
    release::{
        Release,
        problem::{Problem, Problems},
        status,
        validation::validate,
    },
    routing::{self, Router},
};

/// How soon to look again when the local copies are behind; the watch event usually comes first.
pub const SHORTLY: Duration = Duration::from_secs(1);

/// A canary as it was at one moment.
pub struct Sight {
    /// The Canary.
    pub object: Arc<Object>,
    /// Its status as written.
    pub status: CanaryStatus,
    /// Its validated form.
    pub release: Release,
    /// How traffic is split.
    pub router: &'static dyn Router,
    /// What the engine sees.
    pub observed: Observed,
}

impl Sight {
    /// Whether what was answered about `earlier` is true of this too: the same Canary, which asks the same of the
    /// same servers, in the same state, about the same revision. Pods and weights may be others by now, which is what
    /// one looks again for.
    #[must_use]
    pub fn asks_what(&self, earlier: &Sight) -> bool {
        let (now, then) = (&self.observed, &earlier.observed);
        self.release == earlier.release
            && now.status == then.status
            && now.target.revision == then.target.revision
            && now.target.configs == then.target.configs
    }
}

/// Looks at a canary: either it can be worked on, or the tick ends like this.
///
/// # Errors
/// When this process may no longer act, or what keeps the canary from being worked on cannot be told.
pub async fn look(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<ControlFlow<Action, Sight>, TickError> {
    ctx.fence.check()?;
    // Only copies that are complete and show every own write can be planned on.
    if let Some((kind, why)) = ctx.cluster.unready().first() {
        debug!(kind = %kind.qualified(), why, "waiting for a local copy");
        return Ok(ControlFlow::Break(Action::requeue(SHORTLY)));
    }
    let Some(object) = ctx.cluster.get(Kind::Canary, namespace, name) else {
        return Ok(ControlFlow::Break(Action::await_change()));
    };
    let own = |key: &_| concerns(key, &object, &ctx.cluster);
    if let Freshness::Behind(key) = ctx.cluster.freshness(namespace, own).await? {
        debug!(kind = %key.kind, name = key.name, "waiting for an own write to show");
        return Ok(ControlFlow::Break(Action::requeue(SHORTLY)));
    }
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(ControlFlow::Break(Action::await_change()));
    }
    let dropped = ctx.definition.drops(&object, &ctx.cluster).await?;
    let end = match (see(&object, ctx), dropped) {
        (Ok(sight), None) => return Ok(ControlFlow::Continue(sight)),
        (Err(problems), None) => report::refuse(&object, &problems, ctx).await?,
        (sight, Some(dropped)) => {
            let sight = sight.as_ref().ok();
            definition::leave_alone(&object, sight, &dropped, ctx).await?
        }
    };
    Ok(ControlFlow::Break(end))
}

/// Validates a Canary and observes the world around it.
fn see(object: &Arc<Object>, ctx: &Context) -> Result<Sight, Problems> {
    let release = validate(object, ctx.cluster.as_ref(), &ctx.settings)?;
    let router = router(&release, ctx).map_err(|problem| Problems(vec![problem]))?;
    let status = status::of_object(object);
    let observed = observe(
        &release,
        &status,
        &ctx.cluster,
        router,
        &ctx.settings,
        ctx.clock.now(),
    )?;
    Ok(Sight {
        object: Arc::clone(object),
        status,
        release,
        router,
        observed,
    })
}

/// The router of a release, if the cluster has its kinds.
fn router(release: &Release, ctx: &Context) -> Result<&'static dyn Router, Problem> {
    let provider = &release.canary.provider;
    let found = routing::find(provider).ok_or_else(|| {
        let known = routing::names().join(", ");
        let why = format!("\"{provider}\" is not a traffic provider of this controller");
        Problem::new("spec.provider", why, format!("use one of: {known}"))
    })?;
    let missing = found
        .kinds()
        .iter()
        .find_map(|kind| ctx.cluster.unavailable(*kind));
    match missing {
        None => Ok(found),
        Some(why) => {
            let mend = "the cluster is asked again at least once a minute";
            Err(Problem::new("spec.provider", why, mend))
        }
    }
}

//! The snapshot of a canary: everything that a tick is decided on, from the local copies. It writes nothing.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use canary_engine::observed::{Observed, Workload};
use kube::ResourceExt;
use tracing::debug;

use super::{
    claims, context::Context, definition::Dropped, error::TickError, index::objects_of,
    observe::observe,
};
use crate::{
    api::CanaryStatus,
    cluster::{Freshness, Kind, Object},
    release::{
        Release,
        problem::{Problem, Problems},
        status,
        validation::{Lookup, validate},
    },
    routing::{self, Router},
};

/// How soon a canary is checked again when the local copies are behind; the watch event usually comes first.
pub const SHORTLY: Duration = Duration::from_secs(1);

/// A canary at one moment.
pub struct Snapshot {
    /// The Canary.
    pub object: Arc<Object>,
    /// Its status as written.
    pub status: CanaryStatus,
    /// Its validated form.
    pub release: Release,
    /// How traffic is split.
    pub router: &'static dyn Router,
    /// The input of the engine.
    pub observed: Observed,
}

impl Snapshot {
    /// Whether the answers that were given for `earlier` hold for this snapshot: it is the same Canary, which asks the
    /// same servers the same questions, in the same state, about the same revision. Pods and weights may differ.
    #[must_use]
    pub fn keeps_answers_of(&self, earlier: &Snapshot) -> bool {
        let (now, then) = (&self.observed, &earlier.observed);
        self.release == earlier.release
            && now.status == then.status
            && now.target.revision == then.target.revision
            && now.target.configs == then.target.configs
    }
}

/// Why a canary is skipped.
pub enum Skip {
    /// A local copy is behind, or this process may not act. The canary is checked again after the pause.
    NotYet(Duration),
    /// The Canary was deleted, or is being deleted.
    Deleted,
    /// The Canary is not valid.
    Invalid(Arc<Object>, Problems),
    /// The definition of Canaries drops fields of the status.
    Definition {
        /// The Canary.
        object: Arc<Object>,
        /// Its snapshot, if the Canary is valid.
        snapshot: Option<Box<Snapshot>>,
        /// The fields that are dropped.
        dropped: Dropped,
    },
}

/// Takes the snapshot of a canary, or returns why it is skipped.
///
/// # Errors
/// When the API server does not answer.
pub async fn take(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<ControlFlow<Skip, Snapshot>, TickError> {
    if ctx.fence.check().is_err() {
        debug!(canary = %format_args!("{name}.{namespace}"), "the lease is not held at present");
        return Ok(ControlFlow::Break(Skip::NotYet(SHORTLY)));
    }
    let (object, dropped) = match settled(namespace, name, ctx).await? {
        ControlFlow::Continue(settled) => settled,
        ControlFlow::Break(skip) => return Ok(ControlFlow::Break(skip)),
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(ControlFlow::Break(Skip::Deleted));
    }
    Ok(match (see(&object, ctx), dropped) {
        (Ok(snapshot), None) => ControlFlow::Continue(snapshot),
        (Err(problems), None) => ControlFlow::Break(Skip::Invalid(object, problems)),
        (snapshot, Some(dropped)) => ControlFlow::Break(Skip::Definition {
            object,
            snapshot: snapshot.ok().map(Box::new),
            dropped,
        }),
    })
}

/// The Canary, as new as every own write that concerns it, and what the definition drops of its status. The copies
/// that are read after this returns show those writes too.
///
/// The Canary decides which writes concern it, and the checks may wait for the API server, so a watch may bring a newer
/// Canary in between. The copy is taken again after the checks, and they are good only if it is the one that they were
/// made for. A copy from before them would be planned on although the checks have seen a newer one.
async fn settled(
    namespace: &str,
    name: &str,
    ctx: &Context,
) -> Result<ControlFlow<Skip, (Arc<Object>, Option<Dropped>)>, TickError> {
    let later = |pause| Ok(ControlFlow::Break(Skip::NotYet(pause)));
    let unready = || {
        let (kind, why) = ctx.cluster.unready().into_iter().next()?;
        debug!(kind = %kind.qualified(), why, "waiting for a local copy");
        Some(())
    };
    if unready().is_some() {
        return later(SHORTLY);
    }
    let Some(object) = ctx.cluster.get(Kind::CANARY, namespace, name) else {
        return Ok(ControlFlow::Break(Skip::Deleted));
    };
    let find = |kind, namespace: &str, name: &str| ctx.cluster.get(kind, namespace, name);
    let own = objects_of(&object, &find);
    let behind = ctx.cluster.freshness(namespace, |key| own.contains(key));
    if let Freshness::Behind(key) = behind.await? {
        debug!(kind = %key.kind, name = key.name, "waiting for an own write to show");
        return later(SHORTLY);
    }
    let dropped = match object.metadata.deletion_timestamp {
        None => ctx.definition.drops(&object, &ctx.cluster).await?,
        Some(_) => None,
    };
    // Nothing waits from here on.
    if unready().is_some() {
        return later(SHORTLY);
    }
    let current = ctx.cluster.get(Kind::CANARY, namespace, name);
    if current.is_some_and(|current| current.resource_version() == object.resource_version()) {
        return Ok(ControlFlow::Continue((object, dropped)));
    }
    debug!(canary = %format_args!("{name}.{namespace}"), "changed while the local copies were checked");
    later(Duration::ZERO)
}

impl Lookup for Context {
    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.cluster.get(kind, namespace, name)
    }

    fn rivals(&self, namespace: &str, target: &str, service: &str) -> Vec<Arc<Object>> {
        let keys = self.index.neighbours(namespace, target, service);
        let canaries = keys.iter();
        let found = canaries.filter_map(|key| self.cluster.get(key.kind, namespace, &key.name));
        found.collect()
    }
}

/// Validates a Canary and observes the world around it.
fn see(object: &Arc<Object>, ctx: &Context) -> Result<Snapshot, Problems> {
    let release = validate(object, ctx, &ctx.settings)?;
    let router = router(&release, ctx).map_err(|problem| Problems(vec![problem]))?;
    let status = status::of_object(object);
    let mut observed = observe(
        &release,
        &status,
        &ctx.cluster,
        router,
        &ctx.settings,
        ctx.clock.now(),
    )?;
    claims::refuse_strangers(&release, &observed, router, &ctx.cluster)?;
    note_lag(&mut observed, &release, ctx);
    Ok(Snapshot {
        object: Arc::clone(object),
        status,
        release,
        router,
        observed,
    })
}

/// Records since when both workloads have been unready, their generations have been behind, and the route has been pending.
/// No object has these times.
fn note_lag(observed: &mut Observed, release: &Release, ctx: &Context) {
    let now = observed.now;
    let since = |workload: &Workload, name: &str| {
        let observed = ctx.cluster.get(Kind::DEPLOYMENT, release.namespace(), name);
        let observed = observed.and_then(|d| d.data["status"]["observedGeneration"].as_i64());
        let name = format!("{}/{name}", release.namespace());
        ctx.lags
            .since(&name, observed, workload.generation_observed, now)
    };
    let target = &mut observed.target.workload;
    target.behind_since = since(target, release.target());
    if let Some(primary) = &mut observed.primary {
        primary.workload.behind_since = since(&primary.workload, &release.primary());
    }
    let ready = canary_engine::ready(&release.canary, observed);
    let unready_since = |name: &str, is_ready: bool| {
        let name = format!("ready/{}/{name}", release.namespace());
        ctx.lags.since(&name, None, is_ready, now)
    };
    observed.target.workload.unready_since = unready_since(release.target(), ready.target);
    // A primary that does not exist yet is created before anything waits for it.
    let is_ready = ready.primary || observed.primary.is_none();
    let since = unready_since(&release.primary(), is_ready);
    if let Some(primary) = &mut observed.primary {
        primary.workload.unready_since = since;
    }
    // A route that does not exist yet is created before anything waits for it.
    let is_settled = observed.route.is_none() || observed.route_pending.is_none();
    let name = format!("route/{}/{}", release.namespace(), release.service_name);
    let since = ctx.lags.since(&name, None, is_settled, now);
    observed.route_pending_since = match observed.route_pending {
        Some(_) => since.or(Some(now)),
        None => None,
    };
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
            let fix = "the cluster is asked again at least once a minute";
            Err(Problem::new("spec.provider", why, fix))
        }
    }
}

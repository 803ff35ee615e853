//! Wires watches to reconciliation: which change wakes which canary.

use std::{convert::Infallible, sync::Arc};

use futures::{StreamExt, stream};
use kube::runtime::{
    applier,
    controller::{Config, ReconcileRequest},
    reflector::ObjectRef,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    context::Context,
    reconcile::{on_error, reconcile},
};
use crate::cluster::{Key, Kind, Object, Touched};

/// The number of canaries that are reconciled at the same time.
const CONCURRENCY: u16 = 64;

/// Reconciles canaries until `shutdown`; the ticks under way are then finished.
pub async fn run(
    ctx: Arc<Context>,
    touched: mpsc::UnboundedReceiver<Touched>,
    shutdown: CancellationToken,
) {
    let Some(store) = ctx.cluster.store(Kind::CANARY) else {
        return;
    };
    let wakes = {
        let ctx = Arc::clone(&ctx);
        stream::unfold(touched, async |mut touched| {
            Some((touched.recv().await?, touched))
        })
        .flat_map(move |seen| {
            let canaries = ctx.index.note(&seen, &ctx.cluster);
            count(&seen, &ctx);
            stream::iter(
                canaries
                    .into_iter()
                    .map(|canary| Ok::<_, Infallible>(ReconcileRequest::from(reference(&canary)))),
            )
        })
    };
    // Changes before this process was allowed to act were not followed, so every canary is reconciled once.
    let all = ctx.index.note(&Touched::All(Kind::CANARY), &ctx.cluster);
    let first = stream::iter(
        all.into_iter()
            .map(|canary| Ok(ReconcileRequest::from(reference(&canary)))),
    );
    let queue = Box::pin(first.chain(wakes).take_until(shutdown.cancelled_owned()));
    let results = applier(
        |object, ctx| Box::pin(reconcile(object, ctx)),
        |object, error, ctx| on_error(&object, error, &ctx),
        ctx,
        store,
        queue,
        Config::default().concurrency(CONCURRENCY),
    );
    results.for_each(async |_| {}).await;
}

fn reference(canary: &Key) -> ObjectRef<Object> {
    ObjectRef::new_with(&canary.name, Kind::CANARY.resource()).within(&canary.namespace)
}

/// Updates the series of a namespace or of all, and drops what is remembered of a canary that was deleted.
fn count(seen: &Touched, ctx: &Context) {
    match seen {
        Touched::One(key) if key.kind == Kind::CANARY => {
            let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
            if ctx.cluster.get(Kind::CANARY, namespace, name).is_none() {
                ctx.failures.clear(&format!("{name}.{namespace}"));
                ctx.metrics.forget(namespace, name);
            }
            ctx.metrics.count(namespace, ctx.index.count(namespace));
        }
        Touched::All(Kind::CANARY) => ctx.metrics.known(&ctx.cluster.list(Kind::CANARY)),
        _ => {}
    }
}

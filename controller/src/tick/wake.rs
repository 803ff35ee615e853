//! Wires watches to reconciliation: which change wakes which canary.

use std::{convert::Infallible, sync::Arc};

use futures::{StreamExt, stream};
use kube::{
    ResourceExt,
    runtime::{
        applier,
        controller::{Config, ReconcileRequest},
        reflector::ObjectRef,
    },
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    context::Context,
    reconcile::{on_error, reconcile},
};
use crate::{
    cluster::{Cluster, Key, Kind, Object, Touched},
    objects::configs,
};

/// Canaries that are worked on at the same time.
const CONCURRENCY: u16 = 64;

/// Reconciles canaries until `shutdown`; the ticks under way are then finished.
pub async fn run(
    ctx: Arc<Context>,
    touched: mpsc::UnboundedReceiver<Touched>,
    shutdown: CancellationToken,
) {
    let Some(store) = ctx.cluster.store(Kind::Canary) else {
        return;
    };
    let wakes = {
        let ctx = Arc::clone(&ctx);
        stream::unfold(touched, async |mut touched| {
            Some((touched.recv().await?, touched))
        })
        .flat_map(move |seen| {
            forget_deleted(&seen, &ctx);
            let canaries = affected(&seen, &ctx.cluster);
            stream::iter(
                canaries
                    .into_iter()
                    .map(|canary| Ok::<_, Infallible>(ReconcileRequest::from(canary))),
            )
        })
    };
    // What happened before this process was allowed to act is unknown: everything is looked at once.
    let all = ctx.cluster.list(Kind::Canary);
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

fn reference(canary: &Object) -> ObjectRef<Object> {
    ObjectRef::new_with(&canary.name_any(), Kind::Canary.resource())
        .within(&canary.namespace().unwrap_or_default())
}

fn forget_deleted(seen: &Touched, ctx: &Context) {
    if let Touched::One(key) = seen
        && key.kind == Kind::Canary
        && ctx
            .cluster
            .get(Kind::Canary, &key.namespace, &key.name)
            .is_none()
    {
        ctx.failures
            .clear(&format!("{}.{}", key.name, key.namespace));
    }
    if matches!(
        seen,
        Touched::All(Kind::Canary)
            | Touched::One(Key {
                kind: Kind::Canary,
                ..
            })
    ) {
        ctx.metrics.known(&ctx.cluster.list(Kind::Canary));
    }
}

/// The canaries that a change concerns.
fn affected(seen: &Touched, cluster: &Cluster) -> Vec<ObjectRef<Object>> {
    let canaries = cluster.list(Kind::Canary);
    let concerned = canaries.iter().filter(|canary| match seen {
        Touched::All(_) => true,
        Touched::One(key) => concerns(key, canary, cluster),
    });
    concerned.map(|canary| reference(canary)).collect()
}

/// Whether a canary reads the object, directly or through its target.
pub(crate) fn concerns(key: &Key, canary: &Object, cluster: &Cluster) -> bool {
    let namespace = canary.namespace().unwrap_or_default();
    let spec = &canary.data["spec"];
    let target = spec["targetRef"]["name"].as_str().unwrap_or_default();
    let service = spec["service"]["name"].as_str().unwrap_or(target);
    match key.kind {
        Kind::MetricTemplate => {
            refers(&spec["analysis"]["metrics"], "templateRef", key, &namespace)
        }
        Kind::AlertProvider => refers(&spec["analysis"]["alerts"], "providerRef", key, &namespace),
        _ if key.namespace != namespace => false,
        // A canary that is refused because of another one is looked at again when that one changes.
        Kind::Canary => key.name == canary.name_any() || is_refused(canary),
        Kind::Deployment => is_or_derived(&key.name, target, &["-primary"]),
        Kind::Service | Kind::DestinationRule => {
            is_or_derived(&key.name, service, &["-primary", "-canary"])
        }
        Kind::VirtualService | Kind::HttpRoute => key.name == service,
        Kind::ConfigMap | Kind::Secret => uses_config(key, target, cluster),
    }
}

fn is_or_derived(name: &str, base: &str, suffixes: &[&str]) -> bool {
    name.strip_prefix(base)
        .is_some_and(|rest| rest.is_empty() || suffixes.contains(&rest))
}

fn refers(list: &Value, field: &str, key: &Key, namespace: &str) -> bool {
    list.as_array().into_iter().flatten().any(|entry| {
        let reference = &entry[field];
        let in_namespace = reference["namespace"]
            .as_str()
            .filter(|n| !n.is_empty())
            .unwrap_or(namespace);
        reference["name"] == key.name.as_str() && in_namespace == key.namespace
    })
}

fn is_refused(canary: &Object) -> bool {
    canary.data["status"]["waiting"]["reason"] == crate::release::status::INVALID
}

fn uses_config(key: &Key, target: &str, cluster: &Cluster) -> bool {
    let Some(target) = cluster.get(Kind::Deployment, &key.namespace, target) else {
        return false;
    };
    let references = configs::references(&target.data["spec"]["template"]["spec"]);
    references.keys().any(|reference| {
        reference.kind == key.kind
            && (reference.name == key.name || reference.copy_name() == key.name)
    })
}

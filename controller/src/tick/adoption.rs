//! Owning again what was a canary's own.
//!
//! This is a write of its own, before all others of a tick: where `OwnerReferencesPermissionEnforcement` is on it takes
//! the right to delete the object, which the controller does not have by default. Nothing else that it writes changes the
//! owners of an existing object, so without that right releases go on, and only the deletion of the canary leaves the
//! object behind.

use canary_engine::action::Event;
use tracing::info;

use super::{
    claims::{Existing, is_gone, unowned},
    context::Context,
    error::ApplyError,
    events,
    snapshot::Snapshot,
};
use crate::{
    cluster::{Cluster, Key, Object, WriteError, digest, json_of},
    objects::ownership::{Standing, own, owners},
    release::Release,
};

/// Owns again what was the canary's own; whether anything was written.
///
/// # Errors
/// When the API server does not answer, or someone else writes first. A refusal is published once and holds nothing up.
pub async fn adopt(snapshot: &Snapshot, ctx: &Context) -> Result<bool, ApplyError> {
    let (release, observed) = (&snapshot.release, &snapshot.observed);
    if release.canary.suspend {
        return Ok(false);
    }
    let (mut refused, mut any) = (Vec::new(), false);
    for one in unowned(release, observed, snapshot.router, &ctx.cluster) {
        let key = Key::new(one.kind, release.namespace(), &one.name);
        if one.standing != Standing::Orphaned || ctx.unownable.is_known(&release.uid, &key) {
            continue;
        }
        ctx.fence.check()?;
        match own_again(&one, release, &ctx.cluster).await {
            Ok(written) => any |= written,
            Err(error) if error.is_refusal() => {
                any = true;
                ctx.unownable.add(&release.uid, key);
                refused.push((one, error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (shared, orphaned): (Vec<_>, Vec<_>) = refused
        .into_iter()
        .partition(|(one, _)| !owners(&one.object).is_empty());
    let canary = format!("{}.{}", release.canary.name, release.namespace());
    let stays = format!("will stay when Canary {canary} is deleted");
    remark(snapshot, &orphaned, &stays, ctx).await?;
    let goes = format!(
        "will go with the Canary that owns it, although the primary of Canary {canary} uses it"
    );
    remark(snapshot, &shared, &goes, ctx).await?;
    Ok(any)
}

/// Says what becomes of objects that cannot be owned again.
async fn remark(
    snapshot: &Snapshot,
    refused: &[(Existing, WriteError)],
    consequence: &str,
    ctx: &Context,
) -> Result<(), ApplyError> {
    let Some((_, error)) = refused.first() else {
        return Ok(());
    };
    let names = refused
        .iter()
        .map(|(one, _)| format!("{} {}", one.kind, one.name));
    let names = names.collect::<Vec<_>>().join(", ");
    let event = Event {
        warning: true,
        key: format!("unowned/{}", digest::short(&names, 8)),
        message: format!(
            "{names} {consequence}, because the controller cannot own it again: {error}; docs/rights.md has the right \
             for it"
        ),
        action: "Remark",
    };
    events::publish(&snapshot.object, &event, ctx)
        .await
        .map_err(ApplyError::Event)?;
    Ok(())
}

/// Owns one object again; false if it is another one by now.
async fn own_again(
    one: &Existing,
    release: &Release,
    cluster: &Cluster,
) -> Result<bool, WriteError> {
    let namespace = release.namespace();
    let Some(live) = cluster.live(one.kind, namespace, &one.name).await? else {
        return Ok(false);
    };
    let live = json_of(&live);
    // Whose it is was decided on the copy.
    let same = live["metadata"]["uid"] == one.object["metadata"]["uid"]
        && owners(&live) == owners(&one.object);
    if !same {
        return Ok(false);
    }
    let Ok(owned) =
        serde_json::from_value::<Object>(own(&live, &release.owner(), is_gone(cluster, namespace)))
    else {
        return Ok(false);
    };
    cluster.replace(one.kind, namespace, &owned).await?;
    info!(
        canary = release.canary.name,
        namespace,
        kind = %one.kind,
        name = one.name,
        "owned again"
    );
    Ok(true)
}

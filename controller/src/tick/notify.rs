//! Sends an alert.

use std::{collections::BTreeMap, sync::Arc};

use canary_engine::action::Alert;
use tracing::warn;

use super::context::Context;
use crate::{alerts, metrics::read_secret, release::Release};

/// Sends an alert to the chats of a canary, or to the controller's own. It is sent in the background: a chat service that
/// does not answer must not slow a release.
pub(super) fn notify(release: &Release, alert: &Alert, ctx: &Context) {
    let canary = format!("{}.{}", release.canary.name, release.namespace());
    let message = alerts::message::of_alert(release, alert, &ctx.settings);
    let Some(targets) = &release.alerts else {
        if let Some(notifier) = &ctx.settings.notifier {
            let token = notifier.token.iter();
            let secret = token.map(|token| ("token".to_owned(), token.clone()));
            match alerts::request(&notifier.provider, &secret.collect(), message) {
                Ok(request) => {
                    let (transport, name) = (Arc::clone(&ctx.transport), canary.clone());
                    let send = async move {
                        alerts::send(transport.as_ref(), &name, request).await;
                    };
                    ctx.background.submit(&canary, Box::pin(send));
                }
                Err(why) => warn!(canary, why, "alert could not be sent"),
            }
        }
        return;
    };
    for target in targets
        .iter()
        .filter(|target| alert.severity >= target.severity)
    {
        let (target, message, name) = (target.clone(), message.clone(), canary.clone());
        let (transport, cluster) = (Arc::clone(&ctx.transport), Arc::clone(&ctx.cluster));
        let job = async move {
            let secret = match &target.provider.secret_ref {
                Some(reference) => read_secret(&cluster, &target.namespace, &reference.name).await,
                None => Ok(BTreeMap::new()),
            };
            match secret.and_then(|secret| alerts::request(&target.provider, &secret, message)) {
                Ok(request) => alerts::send(transport.as_ref(), &name, request).await,
                Err(why) => warn!(canary = name, why, "alert could not be sent"),
            }
        };
        ctx.background.submit(&canary, Box::pin(job));
    }
}

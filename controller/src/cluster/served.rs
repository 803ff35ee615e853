//! Detection of kinds that the cluster lacks. Only some routers need these kinds.
//!
//! A list that fails with 404 or 403 is not sufficient evidence: an API server that has just started returns these for
//! all resources until its CustomResourceDefinitions and roles are loaded. Canaries must not be refused for that.

use std::time::Duration;

use api_failure::{ApiFailure, Refusal};
use kube::Client;
use tokio::time::Instant;

use super::{Kind, write::answered};

/// How long a failure must persist that a starting server also returns: a missing permission, or the absence of a kind
/// that was served before.
const STARTUP: Duration = Duration::from_secs(10);

/// How long a path must stay unserved if discovery does not explain it.
const UNEXPLAINED: Duration = Duration::from_secs(60);

/// Consecutive failed lists of one kind.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    since: Option<Instant>,
    was_followed: bool,
}

impl Doubt {
    /// Records a successful list.
    pub(super) fn followed(&mut self) {
        self.since = None;
        self.was_followed = true;
    }

    /// Why the kind is not available: the cluster lacks it, or this process may not list it. `None` if the failure has
    /// another cause or has not persisted long enough.
    pub(super) async fn resolve(
        &mut self,
        kind: Kind,
        failure: &ApiFailure,
        client: &Client,
    ) -> Option<String> {
        let is_absent = failure.is_not_found()
            || (failure.is_unserved_path() && discovery_lacks(kind, client).await);
        let (why, patience) = if is_absent {
            let patience = if self.was_followed {
                STARTUP
            } else {
                Duration::ZERO
            };
            (not_served(kind), patience)
        } else if failure.code() == Some(403) {
            (describe(kind, failure), STARTUP)
        } else if failure.is_unserved_path() {
            (describe(kind, failure), UNEXPLAINED)
        } else {
            // The server is unavailable. Earlier failures may no longer apply when it is back.
            self.since = None;
            return None;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        (since.elapsed() >= patience).then_some(why)
    }
}

/// Describes the failure of a list or watch, with the next step if one is known.
pub(super) fn describe(kind: Kind, failure: &ApiFailure) -> String {
    if failure.is_not_found() {
        return not_served(kind);
    }
    let Some(Refusal::Permission { namespace, .. }) = failure.refusal() else {
        return failure.to_string();
    };
    let place = match namespace {
        Some(namespace) => format!("in namespace {namespace}"),
        None => "in the whole cluster".to_owned(),
    };
    format!(
        "{failure}; grant \"list\" and \"watch\" on {} {place} by RBAC",
        kind.qualified()
    )
}

fn not_served(kind: Kind) -> String {
    format!(
        "{} is not served; apply its CustomResourceDefinition",
        kind.qualified()
    )
}

/// Returns whether discovery succeeded and does not list the kind.
async fn discovery_lacks(kind: Kind, client: &Client) -> bool {
    let resource = kind.resource();
    let Ok(groups) = answered(client.list_api_groups()).await else {
        return false;
    };
    let mut versions = groups.groups.iter().flat_map(|group| &group.versions);
    if !versions.any(|version| version.group_version == resource.api_version) {
        return true;
    }
    let resources = answered(client.list_api_group_resources(&resource.api_version)).await;
    resources.is_ok_and(|list| {
        let mut names = list.resources.iter().map(|resource| &resource.name);
        !names.any(|name| *name == resource.plural)
    })
}

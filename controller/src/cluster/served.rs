//! Whether the cluster has a kind that only some routers need.
//!
//! A list that fails with 404 or 403 is not yet a proof: an API server in its first moments answers so about everything
//! until its definitions and its roles are read. A canary that is refused for that reason would stand still although
//! nothing is wrong.

use std::time::Duration;

use api_failure::{ApiFailure, Refusal};
use kube::Client;
use tokio::time::Instant;

use super::{Kind, write::answered};

/// How long an answer must stay the same that a server gives in its first moments too: that its roles do not allow
/// it, or that a kind is gone that was there a moment ago.
const FIRST_MOMENTS: Duration = Duration::from_secs(10);

/// How long a path may not be served of which nothing else is known.
const UNEXPLAINED: Duration = Duration::from_secs(60);

/// Failed lists in a row.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    since: Option<Instant>,
    was_followed: bool,
}

impl Doubt {
    /// The kind was listed.
    pub(super) fn followed(&mut self) {
        self.since = None;
        self.was_followed = true;
    }

    /// Why the cluster does not have the kind, or does not let this process see it; `None` as long as that is not
    /// sure, or if the failure says nothing of it.
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
                FIRST_MOMENTS
            } else {
                Duration::ZERO
            };
            (not_served(kind), patience)
        } else if failure.code() == Some(403) {
            (describe(kind, failure), FIRST_MOMENTS)
        } else if failure.is_unserved_path() {
            (describe(kind, failure), UNEXPLAINED)
        } else {
            // The server is away. What it said before may be another thing when it is back.
            self.since = None;
            return None;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        (since.elapsed() >= patience).then_some(why)
    }
}

/// The failure of a list or watch, with the next step if one is known.
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
    format!("{} is not served; apply its definition", kind.qualified())
}

/// Whether discovery answered, and does not have the kind.
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

//! Reads views from the API server.

use api_failure::{ApiFailure, if_present};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, ListParams},
};

use super::model::{EventView, View};
use crate::cluster::{Kind, Object};

/// Reads canaries with their workloads and events.
pub(crate) struct Fetch {
    canaries: Api<Object>,
    deployments: Api<Object>,
    events: Api<Object>,
}

impl Fetch {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        let api = |kind: Kind| Api::namespaced_with(client.clone(), namespace, &kind.resource());
        let events = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
        };
        Self {
            canaries: api(Kind::CANARY),
            deployments: api(Kind::DEPLOYMENT),
            events: Api::namespaced_with(client.clone(), namespace, &events),
        }
    }

    /// Returns the canary `name`, or every canary of the namespace. Empty if there is none.
    pub(crate) async fn views(&self, name: Option<&str>) -> Result<Vec<View>, ApiFailure> {
        let canaries = match name {
            Some(name) => if_present(self.canaries.get(name).await)?
                .into_iter()
                .collect(),
            None => self.canaries.list(&ListParams::default()).await?.items,
        };
        let mut views = Vec::new();
        for canary in &canaries {
            views.push(self.view(canary).await?);
        }
        Ok(views)
    }

    async fn view(&self, canary: &Object) -> Result<View, ApiFailure> {
        let (target, primary) = View::workloads(canary);
        let target = if_present(self.deployments.get(&target).await)?;
        let primary = if_present(self.deployments.get(&primary).await)?;
        let fields = format!("involvedObject.uid={}", canary.uid().unwrap_or_default());
        let mut events = self
            .events
            .list(&ListParams::default().fields(&fields))
            .await?
            .items;
        events.sort_by_key(|event| {
            event
                .resource_version()
                .and_then(|version| version.parse::<u64>().ok())
        });
        Ok(View {
            events: events.iter().map(event_view).collect(),
            ..View::of(canary, target.as_ref(), primary.as_ref())
        })
    }
}

fn event_view(event: &Object) -> EventView {
    let text = |field: &str| event.data[field].as_str().unwrap_or_default();
    EventView {
        name: event.name_any(),
        time: text("lastTimestamp").parse().ok(),
        warning: text("type") == "Warning",
        message: text("message").to_owned(),
    }
}

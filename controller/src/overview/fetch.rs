//! What is shown, read from the cluster.

use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, ListParams},
};
use serde_json::Value;

use crate::{
    cluster::{Kind, Object},
    crd::CanaryStatus,
    generate::digest,
    release::json_of,
    status,
};

/// One canary as shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) namespace: String,
    /// `spec` of the Canary.
    pub(super) spec: Value,
    /// `status` of the Canary.
    pub(super) status: CanaryStatus,
    /// Revision that the target has now.
    pub(super) revision: Option<String>,
    /// Images of the target.
    pub(super) target_images: Vec<String>,
    /// Images of the primary.
    pub(super) primary_images: Vec<String>,
    /// Events, oldest first.
    pub(super) events: Vec<EventView>,
}

/// One event as shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EventView {
    pub(super) name: String,
    pub(super) time: Option<Timestamp>,
    pub(super) warning: bool,
    pub(super) message: String,
}

/// Reads canaries with all that is shown about them.
pub(super) struct Fetch {
    canaries: Api<Object>,
    deployments: Api<Object>,
    events: Api<Object>,
}

impl Fetch {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        let api = |kind: Kind| Api::namespaced_with(client.clone(), namespace, &kind.resource());
        let events = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
        };
        Self {
            canaries: api(Kind::Canary),
            deployments: api(Kind::Deployment),
            events: Api::namespaced_with(client.clone(), namespace, &events),
        }
    }

    /// One canary, or all of the namespace.
    pub(super) async fn views(&self, name: Option<&str>) -> Result<Vec<View>, kube::Error> {
        let canaries = match name {
            Some(name) => self.canaries.get_opt(name).await?.into_iter().collect(),
            None => self.canaries.list(&ListParams::default()).await?.items,
        };
        let mut views = Vec::new();
        for canary in &canaries {
            views.push(self.view(canary).await?);
        }
        Ok(views)
    }

    async fn view(&self, canary: &Object) -> Result<View, kube::Error> {
        let spec = canary.data["spec"].clone();
        let target_name = spec["targetRef"]["name"].as_str().unwrap_or_default();
        let target = self
            .deployments
            .get_opt(target_name)
            .await?
            .map(|object| json_of(&object));
        let primary = self
            .deployments
            .get_opt(&format!("{target_name}-primary"))
            .await?;
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
            name: canary.name_any(),
            namespace: canary.namespace().unwrap_or_default(),
            status: status::of_object(canary),
            revision: target.as_ref().map(digest::revision),
            target_images: target.as_ref().map(images).unwrap_or_default(),
            primary_images: primary
                .map(|object| images(&json_of(&object)))
                .unwrap_or_default(),
            events: events.iter().map(event_view).collect(),
            spec,
        })
    }
}

fn images(deployment: &Value) -> Vec<String> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
    let images = containers
        .into_iter()
        .flatten()
        .filter_map(|one| one["image"].as_str());
    images.map(str::to_owned).collect()
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

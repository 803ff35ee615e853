//! Validation: turns the custom resource into a [`Release`], or reports every problem with its field and fix.
//! Fields that this controller does not support are refused, not ignored.

mod analysis;
mod duration;
mod hooks;
mod metrics;
mod service;
mod strategy;

pub use analysis::threshold;
pub use strategy::strategy;

use std::sync::Arc;

use canary_engine::canary::{Canary, Target, TargetKind};
use kube::ResourceExt;
use serde::de::DeserializeOwned;

use super::{
    QueryNames, Release,
    problem::{Problem, Problems},
};
use crate::{
    api::{CanarySpec, CanaryStatus},
    cluster::labels::SelectorLabel,
    cluster::{Kind, Object, json_of},
    process::settings::Settings,
    routing,
};

/// Finds the objects that a Canary refers to.
pub trait Lookup {
    /// One object.
    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>>;
    /// The Canaries of a namespace that may have the same target or the same Service.
    fn rivals(&self, namespace: &str, target: &str, service: &str) -> Vec<Arc<Object>>;
}

/// Validates a spec and collects its problems.
struct Check<'a> {
    lookup: &'a dyn Lookup,
    settings: &'a Settings,
    namespace: String,
    /// Whether a run is in progress. A template that disappears then fails its check instead of stopping the run.
    running: bool,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(
        &mut self,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(Problem::new(field, message, fix));
    }

    /// The namespace of a reference. A namespace other than the Canary's is a problem under
    /// `--no-cross-namespace-refs`.
    fn reference_namespace(&mut self, field: &str, given: Option<&str>) -> String {
        let namespace = given
            .filter(|n| !n.is_empty())
            .unwrap_or(&self.namespace)
            .to_owned();
        if self.settings.no_cross_namespace_refs && namespace != self.namespace {
            self.problem(
                format!("{field}.namespace"),
                format!("\"{namespace}\" is not the namespace of the Canary"),
                "move the object to the namespace of the Canary, or run the controller without \
                 --no-cross-namespace-refs",
            );
        }
        namespace
    }
}

/// Validates a Canary and the objects that it refers to.
///
/// # Errors
/// Returns all problems at once.
pub fn validate(
    object: &Object,
    lookup: &dyn Lookup,
    settings: &Settings,
) -> Result<Release, Problems> {
    let spec: CanarySpec = parse(object, "spec")?;
    let status: CanaryStatus = parse(object, "status").unwrap_or_default();
    let running = matches!(
        status.phase.as_str(),
        "Progressing" | "WaitingPromotion" | "Promoting" | "Finalising"
    );
    let namespace = object.namespace().unwrap_or_default();
    let mut check = Check {
        lookup,
        settings,
        namespace,
        running,
        problems: Vec::new(),
    };
    let release = check.release(object, &spec);
    match release {
        Some(release) if check.problems.is_empty() => Ok(release),
        _ => Err(Problems(check.problems)),
    }
}

/// Deserialises one part of an object. A value that does not fit is reported with its path.
fn parse<T: DeserializeOwned>(object: &Object, part: &str) -> Result<T, Problems> {
    let value = object.data.get(part).cloned().unwrap_or_default();
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." {
            part.to_owned()
        } else {
            format!("{part}.{path}")
        };
        let fix = "correct the field; kubectl explain shows its schema";
        Problems(vec![Problem::new(
            field,
            error.into_inner().to_string(),
            fix,
        )])
    })
}

impl Check<'_> {
    fn release(&mut self, object: &Object, spec: &CanarySpec) -> Option<Release> {
        let name = object.name_any();
        self.refuse_unsupported(spec);
        let provider = self.provider(spec);
        let target = &spec.target_ref.name;
        let selector = self.target(object, spec);
        let (service, service_name) = self.service(spec.service.as_ref(), target, &provider);
        self.refuse_rivals(object, target, &service_name);

        let query_names = QueryNames {
            name: name.clone(),
            namespace: self.namespace.clone(),
            target: target.clone(),
            service: service_name.clone(),
            ingress: spec
                .ingress_ref
                .as_ref()
                .map_or(target, |r| &r.name)
                .clone(),
            route: spec.route_ref.as_ref().map_or(target, |r| &r.name).clone(),
        };
        let analysis_spec = spec.analysis();
        let parts = self.analysis(analysis_spec, &query_names);
        let progress_deadline = self.seconds(
            "spec.progressDeadlineSeconds",
            spec.progress_deadline_seconds.unwrap_or(600),
        );
        let mut remarks = Vec::new();
        if spec.revert_on_deletion == Some(true) {
            remarks.push(
                "spec.revertOnDeletion is not supported yet: deleting this Canary also deletes its primary, Services \
                 and route, so scale up the target and create another Service and route for it before you delete the \
                 Canary"
                    .to_owned(),
            );
        }
        let router = routing::find(&provider).into_iter();
        remarks.extend(
            router
                .flat_map(|router| router.without_effect(&service))
                .map(|field| {
                    format!("spec.service.{field} has no effect with the provider {provider}")
                }),
        );
        Some(Release {
            canary: Canary {
                name,
                namespace: self.namespace.clone(),
                provider,
                target: Target {
                    kind: TargetKind::Deployment,
                    name: target.clone(),
                },
                suspend: spec.suspend == Some(true),
                skip_analysis: spec.skip_analysis == Some(true) || analysis_spec.is_none(),
                progress_deadline,
                analysis: parts.analysis,
            },
            uid: object.uid().unwrap_or_default(),
            service,
            service_name,
            selector: selector?,
            metrics: parts.metrics,
            hooks: parts.hooks,
            alerts: parts.alerts,
            metrics_server: spec
                .metrics_server
                .clone()
                .filter(|address| !address.is_empty())
                .unwrap_or_else(|| self.settings.metrics_server.clone()),
            query_names,
            remarks,
        })
    }

    fn refuse_unsupported(&mut self, spec: &CanarySpec) {
        if spec.autoscaler_ref.is_some() {
            self.problem(
                "spec.autoscalerRef",
                "autoscalers are not supported yet",
                "remove the field; the primary then has the replicas of the target",
            );
        }
        if spec
            .metrics_server
            .as_deref()
            .is_some_and(|address| !address.is_empty() && reqwest::Url::parse(address).is_err())
        {
            self.problem(
                "spec.metricsServer",
                "is not a URL",
                "use http://HOST:PORT of a Prometheus server",
            );
        }
    }

    fn provider(&mut self, spec: &CanarySpec) -> String {
        let given = spec
            .provider
            .as_deref()
            .filter(|provider| !provider.is_empty());
        let provider = given.unwrap_or(&self.settings.mesh_provider).to_owned();
        if !routing::is_known(&provider) {
            let field = if given.is_some() {
                "spec.provider"
            } else {
                "--mesh-provider"
            };
            self.problem(
                field,
                format!("\"{provider}\" is not a traffic provider of this controller"),
                format!("use one of: {}", routing::names().join(", ")),
            );
        }
        provider
    }

    /// The label that the target selects its pods by. If the target is gone, the label is derived from its primary.
    fn target(&mut self, object: &Object, spec: &CanarySpec) -> Option<SelectorLabel> {
        let target = &spec.target_ref;
        if target.kind != "Deployment" {
            let message = format!("\"{}\" is not supported yet", target.kind);
            self.problem("spec.targetRef.kind", message, "use a Deployment");
            return None;
        }
        let Some(found) = self
            .lookup
            .find(Kind::DEPLOYMENT, &self.namespace, &target.name)
        else {
            let primary = self.own_primary(object, &target.name);
            if primary.is_some() {
                return primary;
            }
            self.problem(
                "spec.targetRef.name",
                format!("Deployment {}.{} not found", target.name, self.namespace),
                "create it or correct the name; the Canary is checked again when it appears",
            );
            return None;
        };
        let selector = SelectorLabel::find(&json_of(&found), &self.settings.selector_labels);
        if selector.is_none() {
            self.problem(
                "spec.targetRef.name",
                format!(
                    "deployment {}.{} spec.selector.matchLabels must contain one of [{}]",
                    target.name,
                    self.namespace,
                    self.settings.selector_labels.join(" ")
                ),
                "add one of these labels to the selector and the pod template, or add your own label to \
                 --selector-labels",
            );
        }
        selector
    }

    /// The target's selector label, derived from the primary that this Canary owns.
    fn own_primary(&self, object: &Object, target: &str) -> Option<SelectorLabel> {
        let name = format!("{target}-primary");
        let primary = self.lookup.find(Kind::DEPLOYMENT, &self.namespace, &name)?;
        let uid = object.uid()?;
        let owners = primary.metadata.owner_references.as_ref()?;
        if !owners.iter().any(|owner| owner.uid == uid) {
            return None;
        }
        let label = SelectorLabel::find(&json_of(&primary), &self.settings.selector_labels)?;
        let value = label.value.strip_suffix("-primary")?.to_owned();
        Some(SelectorLabel { value, ..label })
    }

    /// Refuses a Canary whose target or Service already belongs to an older one: the two would overwrite each other's
    /// changes.
    fn refuse_rivals(&mut self, object: &Object, target: &str, service_name: &str) {
        let rivals = self.lookup.rivals(&self.namespace, target, service_name);
        for other in rivals {
            if !is_older(&other, object) {
                continue;
            }
            let spec = &other.data["spec"];
            let other_target = spec["targetRef"]["name"].as_str().unwrap_or_default();
            let other_service = spec["service"]["name"].as_str().unwrap_or(other_target);
            let shared = if other_target == target {
                Some(("spec.targetRef.name", format!("Deployment \"{target}\"")))
            } else if other_service == service_name {
                Some(("spec.service.name", format!("Service \"{service_name}\"")))
            } else {
                None
            };
            if let Some((field, what)) = shared {
                self.problem(
                    field,
                    format!("{what} already belongs to Canary \"{}\"", other.name_any()),
                    "use another one, or delete one of the two Canaries",
                );
            }
        }
    }
}

/// Returns whether `other` was created before `object`. The name decides between two created in the same second.
fn is_older(other: &Object, object: &Object) -> bool {
    let age = |o: &Object| (o.creation_timestamp().map(|time| time.0), o.name_any());
    other.uid() != object.uid() && age(other) < age(object)
}

#[cfg(test)]
mod tests;

//! One canary as people see it, made from objects wherever they were read: by `status` from the API server, by the
//! page from local copies.

use canary_engine::strategy::Strategy;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    api::{AnalysisSpec, CanarySpec, CanaryStatus},
    cluster::{Object, digest, json_of},
    release::{status, validation},
};

/// One canary as shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// `spec` of the Canary; `None` when it cannot be read, in which case it was refused.
    pub(crate) spec: Option<CanarySpec>,
    /// `status` of the Canary.
    pub(crate) status: CanaryStatus,
    /// Revision that the target has now.
    pub(crate) revision: Option<String>,
    /// Images of the target.
    pub(crate) target_images: Vec<String>,
    /// Images of the primary.
    pub(crate) primary_images: Vec<String>,
    /// Events, oldest first.
    pub(crate) events: Vec<EventView>,
}

/// One event as shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventView {
    pub(crate) name: String,
    pub(crate) time: Option<Timestamp>,
    pub(crate) warning: bool,
    pub(crate) message: String,
}

impl View {
    /// The view of a Canary, its target and its primary; without events.
    pub(crate) fn of(canary: &Object, target: Option<&Object>, primary: Option<&Object>) -> Self {
        let target = target.map(json_of);
        Self {
            name: canary.name_any(),
            namespace: canary.namespace().unwrap_or_default(),
            spec: spec(canary),
            status: status::of_object(canary),
            revision: target.as_ref().map(digest::revision),
            target_images: target.as_ref().map(images).unwrap_or_default(),
            primary_images: primary
                .map(|object| images(&json_of(object)))
                .unwrap_or_default(),
            events: Vec::new(),
        }
    }

    /// Names of the target and of the primary that belong to a Canary.
    pub(crate) fn workloads(canary: &Object) -> (String, String) {
        let target = spec(canary).map(|spec| spec.target_ref.name);
        let target = target.unwrap_or_default();
        let primary = format!("{target}-primary");
        (target, primary)
    }

    /// Kind and name of the target; empty when the spec cannot be read.
    pub(crate) fn target(&self) -> String {
        let spec = self.spec.as_ref();
        spec.map(|spec| format!("{} {}", spec.target_ref.kind, spec.target_ref.name))
            .unwrap_or_default()
    }

    fn analysis(&self) -> Option<&AnalysisSpec> {
        self.spec.as_ref()?.analysis()
    }

    /// Failed checks before the release is rolled back.
    pub(crate) fn threshold(&self) -> u32 {
        self.analysis().map_or(1, validation::threshold)
    }

    /// Time between two checks, as written.
    pub(crate) fn interval(&self) -> &str {
        let given = self.analysis().and_then(|spec| spec.interval.as_deref());
        given.unwrap_or("60s")
    }

    /// Whether nothing is done until somebody lifts the suspension.
    pub(crate) fn is_suspended(&self) -> bool {
        let spec = self.spec.as_ref();
        spec.is_some_and(|spec| spec.suspend == Some(true))
    }

    /// How the run goes on; `None` when there is no analysis, or when it was refused.
    pub(crate) fn strategy(&self) -> Option<Strategy> {
        let skipped = self.spec.as_ref()?.skip_analysis == Some(true);
        let (strategy, problems) = validation::strategy(self.analysis()?);
        (!skipped && problems.is_empty()).then_some(strategy)
    }
}

fn spec(canary: &Object) -> Option<CanarySpec> {
    serde_json::from_value(canary.data["spec"].clone()).ok()
}

/// A measured value in few digits: averages in seconds are often far below a thousandth.
pub(crate) fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_small_value_is_not_shown_as_none() {
        let shown = [0.0, 0.0000392, -0.0005, 0.001, 1.25, 99.5].map(number);
        assert_eq!(
            shown,
            ["0.000", "3.92e-5", "-5.00e-4", "0.001", "1.250", "99.500"]
        );
    }

    #[test]
    fn a_canary_without_steps_that_make_sense_has_no_strategy() {
        let strategy = |rest: Value| {
            let mut spec = json!({ "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" } });
            json_patch::merge(&mut spec, &rest);
            let view = View {
                spec: serde_json::from_value(spec).ok(),
                ..View::default()
            };
            view.strategy().map(|strategy| strategy.to_string())
        };
        let step =
            json!({ "analysis": { "stepWeight": 10, "stepWeights": [1, 2], "maxWeight": 50 } });
        assert_eq!(strategy(step).as_deref(), Some("10% up to 50%"));
        let list = json!({ "canaryAnalysis": { "stepWeights": [1, 2] } });
        assert_eq!(strategy(list).as_deref(), Some("1, 2"));
        for none in [
            json!({}),
            json!({ "skipAnalysis": true, "analysis": { "stepWeight": 10 } }),
            json!({ "analysis": { "stepWeight": 101 } }),
            json!({ "analysis": { "stepWeights": [10, "x"] } }),
            json!({ "analysis": { "stepWeights": [] } }),
        ] {
            assert_eq!(strategy(none.clone()), None, "{none}");
        }
    }
}

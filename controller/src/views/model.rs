//! The data of one canary that views show. It is built from plain objects: `status` reads them from the API server,
//! the page from local copies.

use canary_engine::strategy::Strategy;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    api::{AnalysisSpec, CanarySpec, CanaryStatus},
    cluster::{Object, digest, json_of},
    release::{status, validation},
};

/// One canary.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// `spec` of the Canary; `None` if it cannot be parsed, in which case the Canary was refused.
    pub(crate) spec: Option<CanarySpec>,
    /// `status` of the Canary.
    pub(crate) status: CanaryStatus,
    /// Current revision of the target.
    pub(crate) revision: Option<String>,
    /// Container images of the target.
    pub(crate) target_images: Vec<String>,
    /// Container images of the primary.
    pub(crate) primary_images: Vec<String>,
    /// Events, oldest first.
    pub(crate) events: Vec<EventView>,
}

/// One event of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventView {
    pub(crate) name: String,
    pub(crate) time: Option<Timestamp>,
    pub(crate) warning: bool,
    pub(crate) message: String,
}

impl View {
    /// Builds the view of a Canary, its target and its primary, without events.
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

    /// Returns the names of a Canary's target and primary.
    pub(crate) fn workloads(canary: &Object) -> (String, String) {
        let target = spec(canary).map(|spec| spec.target_ref.name);
        let target = target.unwrap_or_default();
        let primary = format!("{target}-primary");
        (target, primary)
    }

    /// Kind and name of the target; empty if the spec cannot be parsed.
    pub(crate) fn target(&self) -> String {
        let spec = self.spec.as_ref();
        spec.map(|spec| format!("{} {}", spec.target_ref.kind, spec.target_ref.name))
            .unwrap_or_default()
    }

    fn analysis(&self) -> Option<&AnalysisSpec> {
        self.spec.as_ref()?.analysis()
    }

    /// Number of failed checks at which a release is rolled back.
    pub(crate) fn threshold(&self) -> u32 {
        self.analysis().map_or(1, validation::threshold)
    }

    /// Interval between checks, as written in the spec.
    pub(crate) fn interval(&self) -> &str {
        let given = self.analysis().and_then(|spec| spec.interval.as_deref());
        given.unwrap_or("60s")
    }

    /// Reports whether `spec.suspend` is set.
    pub(crate) fn is_suspended(&self) -> bool {
        let spec = self.spec.as_ref();
        spec.is_some_and(|spec| spec.suspend == Some(true))
    }

    /// The strategy of the analysis; `None` if there is no analysis or if it is invalid.
    pub(crate) fn strategy(&self) -> Option<Strategy> {
        let skipped = self.spec.as_ref()?.skip_analysis == Some(true);
        let (strategy, problems) = validation::strategy(self.analysis()?);
        (!skipped && problems.is_empty()).then_some(strategy)
    }
}

fn spec(canary: &Object) -> Option<CanarySpec> {
    serde_json::from_value(canary.data["spec"].clone()).ok()
}

/// Formats a measured value. Small values use scientific notation: averages in seconds are often far below 0.001.
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
    fn a_small_value_is_not_shown_as_zero() {
        let shown = [0.0, 0.0000392, -0.0005, 0.001, 1.25, 99.5].map(number);
        assert_eq!(
            shown,
            ["0.000", "3.92e-5", "-5.00e-4", "0.001", "1.250", "99.500"]
        );
    }

    #[test]
    fn a_canary_without_valid_steps_has_no_strategy() {
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

//! One canary as people see it, made from objects wherever they were read: by `status` from the API server, by the
//! page from local copies.

use canary_engine::strategy::{Steps, Strategy};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    api::CanaryStatus,
    cluster::{Object, digest, json_of},
    release::status,
};

/// One canary as shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// `spec` of the Canary.
    pub(crate) spec: Value,
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
            spec: canary.data["spec"].clone(),
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
        let target = canary.data["spec"]["targetRef"]["name"].as_str();
        let target = target.unwrap_or_default().to_owned();
        let primary = format!("{target}-primary");
        (target, primary)
    }

    /// Kind and name of the target.
    pub(crate) fn target(&self) -> String {
        let text = |field: &str| self.spec["targetRef"][field].as_str().unwrap_or_default();
        format!("{} {}", text("kind"), text("name"))
    }

    fn analysis(&self) -> &Value {
        match &self.spec["analysis"] {
            Value::Null => &self.spec["canaryAnalysis"],
            given => given,
        }
    }

    /// Failed checks before the release is rolled back.
    pub(crate) fn threshold(&self) -> i64 {
        let given = self.analysis()["threshold"].as_i64();
        given.filter(|count| *count > 0).unwrap_or(1)
    }

    /// Time between two checks, as written.
    pub(crate) fn interval(&self) -> &str {
        self.analysis()["interval"].as_str().unwrap_or("60s")
    }

    /// The weights of the canary, one after the other; `None` when there is no analysis or no sense in what the
    /// Canary says about it, in which case it was refused.
    pub(crate) fn strategy(&self) -> Option<Strategy> {
        let analysis = self.analysis();
        if self.spec["skipAnalysis"] == true {
            return None;
        }
        let percent = |value: &Value| {
            let percent = u8::try_from(value.as_i64()?).ok()?;
            (1..=100).contains(&percent).then_some(percent)
        };
        let step = &analysis["stepWeight"];
        match analysis["stepWeights"].as_array() {
            // As in validation: a step beats the list.
            Some(list) if step.as_i64().unwrap_or(0) == 0 => {
                let weights: Vec<u8> = list.iter().map(percent).collect::<Option<_>>()?;
                (!weights.is_empty()).then_some(Strategy::Weighted(Steps::List(weights)))
            }
            _ => Some(Strategy::Weighted(Steps::Linear {
                step: percent(step)?,
                max: match &analysis["maxWeight"] {
                    Value::Null => 100,
                    given => percent(given)?,
                },
            })),
        }
    }
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
    fn steps_are_read_as_validation_reads_them() {
        let steps = |spec: Value| {
            View {
                spec,
                ..View::default()
            }
            .strategy()
        };
        assert_eq!(
            steps(
                json!({ "analysis": { "stepWeight": 10, "stepWeights": [1, 2], "maxWeight": 50 } })
            ),
            Some(Strategy::Weighted(Steps::Linear { step: 10, max: 50 }))
        );
        assert_eq!(
            steps(json!({ "canaryAnalysis": { "stepWeights": [1, 2] } })),
            Some(Strategy::Weighted(Steps::List(vec![1, 2])))
        );
        for none in [
            json!({}),
            json!({ "skipAnalysis": true, "analysis": { "stepWeight": 10 } }),
            json!({ "analysis": { "stepWeight": 101 } }),
            json!({ "analysis": { "stepWeights": [10, "x"] } }),
            json!({ "analysis": { "stepWeights": [] } }),
        ] {
            assert_eq!(steps(none.clone()), None, "{none}");
        }
    }
}

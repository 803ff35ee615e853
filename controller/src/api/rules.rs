//! Validation rules of the definitions, in CEL. With them, the API server rejects settings that no release can use.
//!
//! A rule may reject only settings that the controller's own validation refuses and that Flagger cannot run either. It
//! must not reject fields that only this controller does not support yet, nor any analysis that is skipped.

use serde_json::{Value, json};

/// Adds the rules of a Canary to the schema of its `spec`.
pub(super) fn canary(spec: &mut Value) {
    let analysed = |rule: &str| format!("has(self.skipAnalysis) && self.skipAnalysis || {rule}");
    spec["x-kubernetes-validations"] = json!([
        {
            "rule": analysed("!has(self.analysis.maxWeight) || self.analysis.maxWeight <= 100"),
            "message": "is more than 100, a weight that is never reached; use a percentage from 1 to 100",
            "fieldPath": ".analysis.maxWeight",
        },
        {
            "rule": analysed("!has(self.analysis.stepWeight) || self.analysis.stepWeight > 0"),
            "message": "shifts no traffic; use a percentage from 1 to 100",
            "fieldPath": ".analysis.stepWeight",
        },
        {
            "rule": analysed(
                "!has(self.analysis.stepWeights) || self.analysis.stepWeights.size() > 0 && \
                 self.analysis.stepWeights[0] > 0 && self.analysis.stepWeights.isSorted()"
            ),
            "message": "is not in ascending order; use weights from 1 to 100, each larger than the one before",
            "fieldPath": ".analysis.stepWeights",
        },
        {
            "rule": analysed(
                "!has(self.analysis.metrics) || self.analysis.metrics.all(m, !has(m.thresholdRange) || \
                 !has(m.thresholdRange.min) || !has(m.thresholdRange.max) || \
                 m.thresholdRange.min <= m.thresholdRange.max)"
            ),
            "message": "has a thresholdRange whose min is larger than its max; swap min and max",
            "fieldPath": ".analysis.metrics",
        },
    ]);
    for field in ["primaryReadyThreshold", "canaryReadyThreshold"] {
        add(
            &mut spec["properties"]["analysis"]["properties"][field],
            "self <= 100",
            "is not a percentage; use a number from 0 to 100",
        );
    }
    add(
        &mut spec["properties"]["service"]["properties"]["port"],
        "1 <= self && self <= 65535",
        "is not a port; use a number from 1 to 65535",
    );
}

/// Adds the rule of a MetricTemplate to the schema of its `spec`.
pub(super) fn metric_template(spec: &mut Value) {
    spec["properties"]["provider"]["x-kubernetes-validations"] = json!([{
        "rule": "self.type != 'prometheus' || has(self.address) && self.address.contains(':')",
        "message": "is not a URL; use http://HOST:PORT of a Prometheus server",
        "fieldPath": ".address",
    }]);
}

fn add(field: &mut Value, rule: &str, message: &str) {
    field["x-kubernetes-validations"] = json!([{ "rule": rule, "message": message }]);
}

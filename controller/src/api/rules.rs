//! Validation rules of the definitions, in CEL: what no release could do anything with is refused by the API
//! server, before it is stored.
//!
//! A rule may refuse only what the controller's own validation refuses and Flagger cannot run either. A field that
//! this controller does not support yet is no matter of a rule, and a canary that skips its analysis may have any.

use serde_json::{Value, json};

/// Adds the rules of a Canary to the schema of its `spec`.
pub(super) fn canary(spec: &mut Value) {
    let analysed = |rule: &str| format!("has(self.skipAnalysis) && self.skipAnalysis || {rule}");
    spec["x-kubernetes-validations"] = json!([
        {
            "rule": analysed("!has(self.analysis.maxWeight) || self.analysis.maxWeight <= 100"),
            "message": "is more than 100, a weight that is never reached; write a percentage from 1 to 100",
            "fieldPath": ".analysis.maxWeight",
        },
        {
            "rule": analysed("!has(self.analysis.stepWeight) || self.analysis.stepWeight > 0"),
            "message": "moves no traffic; write a percentage from 1 to 100",
            "fieldPath": ".analysis.stepWeight",
        },
        {
            "rule": analysed(
                "!has(self.analysis.stepWeights) || self.analysis.stepWeights.size() > 0 && \
                 self.analysis.stepWeights[0] > 0 && self.analysis.stepWeights.isSorted()"
            ),
            "message": "does not ascend; list weights from 1 to 100, each larger than the one before",
            "fieldPath": ".analysis.stepWeights",
        },
        {
            "rule": analysed(
                "!has(self.analysis.metrics) || self.analysis.metrics.all(m, !has(m.thresholdRange) || \
                 !has(m.thresholdRange.min) || !has(m.thresholdRange.max) || \
                 m.thresholdRange.min <= m.thresholdRange.max)"
            ),
            "message": "has a thresholdRange whose min is larger than its max; exchange the two",
            "fieldPath": ".analysis.metrics",
        },
    ]);
    for field in ["primaryReadyThreshold", "canaryReadyThreshold"] {
        add(
            &mut spec["properties"]["analysis"]["properties"][field],
            "self <= 100",
            "is not a percentage; write a number from 0 to 100",
        );
    }
    add(
        &mut spec["properties"]["service"]["properties"]["port"],
        "1 <= self && self <= 65535",
        "is not a port; write a number from 1 to 65535",
    );
}

/// Adds the rule of a MetricTemplate to the schema of its `spec`.
pub(super) fn metric_template(spec: &mut Value) {
    spec["properties"]["provider"]["x-kubernetes-validations"] = json!([{
        "rule": "self.type != 'prometheus' || has(self.address) && self.address.contains(':')",
        "message": "is not a URL; write http://HOST:PORT of a Prometheus server",
        "fieldPath": ".address",
    }]);
}

fn add(field: &mut Value, rule: &str, message: &str) {
    field["x-kubernetes-validations"] = json!([{ "rule": rule, "message": message }]);
}

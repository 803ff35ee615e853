use std::{sync::Arc, time::Duration};

use canary_engine::{
    canary::{MetricKind, Range},
    strategy::{Steps, Strategy},
};
use serde_json::{Value, json};

use super::*;
use crate::release::Query;

/// The objects of a cluster.
#[derive(Default)]
struct World(Vec<(Kind, Object)>);

impl World {
    fn with(mut self, kind: Kind, object: Value) -> Self {
        self.0.push((kind, serde_json::from_value(object).unwrap()));
        self
    }
}

impl Lookup for World {
    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let found = self.0.iter().find(|(of, object)| {
            *of == kind
                && object.name_any() == name
                && object.namespace().as_deref() == Some(namespace)
        });
        found.map(|(_, object)| Arc::new(object.clone()))
    }

    fn rivals(&self, namespace: &str, _: &str, _: &str) -> Vec<Arc<Object>> {
        let canaries = self.0.iter().filter(|(kind, object)| {
            *kind == Kind::CANARY && object.namespace().as_deref() == Some(namespace)
        });
        canaries
            .map(|(_, object)| Arc::new(object.clone()))
            .collect()
    }
}

fn world() -> World {
    World::default()
        .with(
            Kind::DEPLOYMENT,
            json!({ "metadata": { "name": "app", "namespace": "ns" },
                "spec": { "selector": { "matchLabels": { "app": "app" } } } }),
        )
        .with(
            Kind::METRIC_TEMPLATE,
            json!({ "metadata": { "name": "latency", "namespace": "other" },
                "spec": { "provider": { "type": "prometheus", "address": "http://p:9090" },
                    "query": "x{v=\"{{ variables.v }}\"}" } }),
        )
}

fn check(spec: Value, status: Value, settings: &Settings) -> Result<Release, Problems> {
    let canary = json!({ "metadata": { "name": "c", "namespace": "ns", "uid": "u" }, "spec": spec, "status": status });
    validate(&serde_json::from_value(canary).unwrap(), &world(), settings)
}

fn spec(analysis: &Value) -> Value {
    json!({
        "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
        "service": { "port": 80 },
        "analysis": analysis,
    })
}

fn fields(result: Result<Release, Problems>) -> Vec<String> {
    result
        .unwrap_err()
        .0
        .into_iter()
        .map(|problem| problem.field)
        .collect()
}

#[test]
fn flaggers_defaults_apply() {
    let analysis = json!({ "interval": "1m", "stepWeight": 10,
        "metrics": [{ "name": "request-success-rate", "threshold": 99 },
            { "name": "request-duration", "thresholdRange": { "max": 500 } }] });
    let release = check(spec(&analysis), Value::Null, &Settings::default()).unwrap();
    let found = &release.canary.analysis;
    assert_eq!(found.threshold, 1);
    assert_eq!(
        found.strategy,
        Strategy::Weighted(Steps::Linear { step: 10, max: 100 })
    );
    assert_eq!(found.promotion_step, 0);
    assert_eq!(
        found.metrics[0].range,
        Range {
            min: Some(99.0),
            max: None
        }
    );
    assert_eq!(found.metrics[1].kind, MetricKind::Duration);
    assert_eq!(release.metrics[0].interval, "1m");
    assert_eq!(release.canary.progress_deadline, Duration::from_secs(600));
    assert_eq!(release.service_name, "app");
    assert_eq!(release.canary.provider, "istio");
}

#[test]
fn step_weight_takes_precedence_over_step_weights_which_must_ascend() {
    let steps = |analysis: Value| {
        check(spec(&analysis), Value::Null, &Settings::default())
            .map(|release| release.canary.analysis.strategy)
    };
    let both = json!({ "interval": "1m", "stepWeight": 20, "stepWeights": [1, 2] });
    assert_eq!(
        steps(both),
        Ok(Strategy::Weighted(Steps::Linear { step: 20, max: 100 }))
    );
    assert_eq!(
        steps(json!({ "interval": "1m", "stepWeights": [1, 50] })),
        Ok(Strategy::Weighted(Steps::List(vec![1, 50])))
    );
    for list in [
        json!([]),
        json!([5, 5]),
        json!([10, 5]),
        json!([0, 5]),
        json!([5, 101]),
    ] {
        assert!(
            steps(json!({ "interval": "1m", "stepWeights": list })).is_err(),
            "{list}"
        );
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut wrong = spec(
        &json!({ "interval": "5x", "iterations": 3, "metrics": [{ "name": "custom" }],
        "webhooks": [{ "name": "w", "url": "nowhere", "type": "sometimes", "retries": -1 }] }),
    );
    wrong["provider"] = json!("istoi");
    wrong["service"]["port"] = json!(70000);
    wrong["progressDeadlineSeconds"] = json!(-1);
    assert_eq!(
        fields(check(wrong, Value::Null, &Settings::default())),
        [
            "spec.provider",
            "spec.service.port",
            "spec.analysis.iterations",
            "spec.analysis.interval",
            "spec.analysis.metrics[0].templateRef",
            "spec.analysis.webhooks[0].type",
            "spec.analysis.webhooks[0].url",
            "spec.analysis.webhooks[0].retries",
            "spec.progressDeadlineSeconds",
        ]
    );
}

#[test]
fn a_value_of_the_wrong_type_is_reported_with_its_path() {
    let wrong = spec(&json!({ "interval": "1m", "stepWeight": 10,
        "metrics": [{ "name": "m", "thresholdRange": { "max": "three" } }] }));
    let problems = check(wrong, Value::Null, &Settings::default()).unwrap_err();
    assert_eq!(
        problems.0[0].field,
        "spec.analysis.metrics[0].thresholdRange.max"
    );
}

#[test]
fn templates_in_other_namespaces_can_be_forbidden() {
    let metric = json!({ "name": "m", "templateRef": { "name": "latency", "namespace": "other" },
        "templateVariables": { "v": "1" }, "thresholdRange": { "max": 1 } });
    let analysis = json!({ "interval": "1m", "stepWeight": 10, "metrics": [metric] });
    let release = check(spec(&analysis), Value::Null, &Settings::default()).unwrap();
    assert!(matches!(
        &release.metrics[0].query,
        Query::Template { spec: Ok(_), .. }
    ));
    let strict = Settings {
        no_cross_namespace_refs: true,
        ..Settings::default()
    };
    let found = fields(check(spec(&analysis), Value::Null, &strict));
    assert_eq!(found, ["spec.analysis.metrics[0].templateRef.namespace"]);
}

#[test]
fn an_undefined_variable_is_refused_before_a_run_and_fails_its_check_during_one() {
    let metric = json!({ "name": "m", "templateRef": { "name": "latency", "namespace": "other" },
        "thresholdRange": { "max": 1 } });
    let analysis = json!({ "interval": "1m", "stepWeight": 10, "metrics": [metric] });
    let before = check(spec(&analysis), Value::Null, &Settings::default());
    assert_eq!(
        fields(before),
        ["spec.analysis.metrics[0].templateRef.name"]
    );
    let running = check(
        spec(&analysis),
        json!({ "phase": "Progressing" }),
        &Settings::default(),
    )
    .unwrap();
    assert!(matches!(
        &running.metrics[0].query,
        Query::Template { spec: Err(_), .. }
    ));
}

#[test]
fn a_canary_without_analysis_skips_the_analysis() {
    let mut plain = spec(&Value::Null);
    plain.as_object_mut().unwrap().remove("analysis");
    assert!(
        check(plain, Value::Null, &Settings::default())
            .unwrap()
            .canary
            .skip_analysis
    );
}

#[test]
fn revert_on_deletion_is_accepted_with_a_remark() {
    let mut spec = spec(&json!({ "interval": "1m", "stepWeight": 10 }));
    spec["revertOnDeletion"] = json!(true);
    let release = check(spec, Value::Null, &Settings::default()).unwrap();
    assert!(release.remarks[0].contains("spec.revertOnDeletion"));
}

//! The validation rules of the definitions, compared with the controller's own validation. The API server must not
//! refuse an object that the controller accepts.

use std::sync::Arc;

use controller::{
    cluster::{Kind, Object},
    process::settings::Settings,
    release::validation::{Lookup, validate},
};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::world::{World, canary, deployment, template};

/// The definition of Canaries without its validation rules. A Canary may be older than the rules.
pub fn without_rules() -> Value {
    let mut definition = controller::api::definitions().unwrap().remove(0);
    drop_rules(&mut definition);
    definition
}

fn drop_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(drop_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_rules),
        _ => {}
    }
}

/// The objects that the canary refers to.
struct Referred(Value);

impl Lookup for Referred {
    fn find(&self, kind: Kind, _: &str, _: &str) -> Option<Arc<Object>> {
        let object = match kind {
            Kind::DEPLOYMENT => deployment("1.0.0"),
            Kind::METRIC_TEMPLATE => self.0.clone(),
            _ => return None,
        };
        Some(Arc::new(serde_json::from_value(object).unwrap()))
    }

    fn rivals(&self, _: &str, _: &str, _: &str) -> Vec<Arc<Object>> {
        Vec::new()
    }
}

/// The components that refuse an object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Nobody,
    /// Flagger accepts it, but this controller does not.
    Controller,
    Both,
}

/// Changes of the analysis (or, under a path with a slash, of the spec) and the components that refuse them.
fn cases() -> Vec<(Value, By)> {
    let weights =
        |weights: Value| json!({ "stepWeight": null, "maxWeight": null, "stepWeights": weights });
    let range = |range: Value| json!({ "metrics": [{ "name": "request-duration", "thresholdRange": range }] });
    vec![
        (json!({}), By::Nobody),
        (json!({ "maxWeight": 100, "stepWeight": 100 }), By::Nobody),
        (json!({ "maxWeight": 1 }), By::Nobody),
        (json!({ "maxWeight": 101 }), By::Both),
        (json!({ "maxWeight": 0 }), By::Controller),
        (json!({ "stepWeight": 0 }), By::Both),
        (json!({ "stepWeight": -5 }), By::Both),
        (json!({ "stepWeight": 150 }), By::Controller),
        (weights(json!([1])), By::Nobody),
        (weights(json!([1, 10, 100])), By::Nobody),
        (weights(json!([10, 5])), By::Both),
        (weights(json!([0, 5])), By::Both),
        (weights(json!([])), By::Both),
        (weights(json!([10, 50, 50])), By::Controller),
        (weights(json!([50, 150])), By::Controller),
        (
            json!({ "/skipAnalysis": true, "maxWeight": 101 }),
            By::Controller,
        ),
        (json!({ "stepWeightPromotion": 0 }), By::Nobody),
        (json!({ "stepWeightPromotion": 101 }), By::Controller),
        (
            json!({ "primaryReadyThreshold": 0, "canaryReadyThreshold": 100 }),
            By::Nobody,
        ),
        (json!({ "primaryReadyThreshold": 101 }), By::Both),
        (json!({ "canaryReadyThreshold": 101 }), By::Both),
        (json!({ "canaryReadyThreshold": -1 }), By::Controller),
        (range(json!({ "min": 1, "max": 1 })), By::Nobody),
        (range(json!({ "min": 0.5 })), By::Nobody),
        (range(json!({ "min": 5, "max": 3.5 })), By::Both),
        (range(json!({})), By::Controller),
        (json!({ "/service": { "port": 65535 } }), By::Nobody),
        (json!({ "/service": { "port": 0 } }), By::Both),
        (json!({ "/service": { "port": 65536 } }), By::Both),
        (json!({ "mirror": true }), By::Controller),
        (
            json!({ "stepWeight": null, "iterations": 10 }),
            By::Controller,
        ),
    ]
}

fn changed(change: &Value) -> Value {
    let mut object = canary();
    for (field, value) in change.as_object().unwrap() {
        let (parent, field) = match field.strip_prefix('/') {
            Some(field) => (&mut object["spec"], field),
            None => (&mut object["spec"]["analysis"], field.as_str()),
        };
        if value.is_null() {
            parent.as_object_mut().unwrap().remove(field);
        } else {
            parent[field] = value.clone();
        }
    }
    object
}

fn controller_accepts(object: &Value, template: &Value) -> bool {
    let object: Object = serde_json::from_value(object.clone()).unwrap();
    validate(&object, &Referred(template.clone()), &Settings::default()).is_ok()
}

/// Creates the object in a dry run, and returns the API server's error if it refuses it.
async fn dry_run(world: &World, kind: Kind, object: &Value) -> Result<(), String> {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object: Object = serde_json::from_value(object.clone()).unwrap();
    let answer = world.api(kind).create(&params, &object).await;
    answer.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn the_server_refuses_only_canaries_that_the_controller_refuses_too() {
    let world = World::new().await;
    for (change, refused_by) in cases() {
        let object = changed(&change);
        let result = dry_run(&world, Kind::CANARY, &object).await;
        let found = match (controller_accepts(&object, &template()), &result) {
            (true, Ok(())) => By::Nobody,
            (false, Ok(())) => By::Controller,
            (false, Err(_)) => By::Both,
            (true, Err(why)) => panic!("{change}: only the server refuses it: {why}"),
        };
        assert_eq!(found, refused_by, "{change}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_field_and_the_fix() {
    let world = World::new().await;
    let falling = changed(&json!({ "stepWeight": null, "stepWeights": [50, 20] }));
    let error = dry_run(&world, Kind::CANARY, &falling).await.unwrap_err();
    assert!(
        error.contains(
            "spec.analysis.stepWeights: Invalid value: \"object\": is not in ascending order; use weights from 1 to 100"
        ),
        "{error}"
    );
    // The schema refuses two strategies at once, like Flagger's definition.
    let both = changed(&json!({ "stepWeights": [10, 20] }));
    assert!(dry_run(&world, Kind::CANARY, &both).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_server_refuses_only_templates_that_no_canary_can_use() {
    let world = World::new().await;
    for (provider, accepted) in [
        (
            json!({ "type": "prometheus", "address": "http://prometheus:9090" }),
            true,
        ),
        (json!({ "type": "prometheus" }), false),
        (json!({ "type": "prometheus", "address": "" }), false),
        (
            json!({ "type": "prometheus", "address": "prometheus" }),
            false,
        ),
    ] {
        let mut object = template();
        object["spec"]["provider"] = provider.clone();
        let result = dry_run(&world, Kind::METRIC_TEMPLATE, &object).await;
        assert_eq!(result.is_ok(), accepted, "{provider}: {result:?}");
        assert_eq!(
            controller_accepts(&canary(), &object),
            accepted,
            "{provider}"
        );
    }
    let mut other = template();
    other["spec"]["provider"] = json!({ "type": "cloudwatch", "region": "eu" });
    let result = dry_run(&world, Kind::METRIC_TEMPLATE, &other).await;
    assert!(result.is_ok(), "{result:?}");
}

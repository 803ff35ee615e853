//! The committed manifests agree with the program.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use controller::{cluster::Kind, lease::Times, settings::Settings};
use kube::api::Patch;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    recorder::{Asked, Recorder},
    release::TRANSCRIPT,
    web::{ok, vector},
    world::{World, canary, deployment, template},
};

/// The committed rules of the controller.
pub fn rbac() -> Vec<Value> {
    let text = manifest("controller-rbac.yaml");
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// Every request that the rules allow.
fn allowed() -> BTreeSet<(String, String, String)> {
    let mut allowed = BTreeSet::new();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    for rule in rbac()
        .iter()
        .flat_map(|object| object["rules"].as_array().cloned().unwrap_or_default())
    {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    allowed.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    // An admission plugin asks for this, not the API.
    assert!(allowed.remove(&(
        "flagger.app".into(),
        "canaries/finalizers".into(),
        "update".into()
    )));
    allowed
}

#[tokio::test(start_paused = true)]
async fn the_committed_rules_allow_what_the_controller_does_and_nothing_else() {
    let world = World::new().await;
    let recorder = Recorder::default();
    let settings = Settings {
        min_interval: Duration::ZERO,
        ..Settings::default()
    };
    let mut first = world.start_with(
        recorder.clone(),
        settings.clone(),
        Some(("first", Times::default())),
    );
    let config = |value: &str| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" },
            "data": { "key": value } })
    };
    let secret = |value: &str| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" },
            "type": "Opaque", "stringData": { "key": value, "token": "t" } })
    };
    world.apply(Kind::ConfigMap, &config("one")).await;
    world.apply(Kind::Secret, &secret("one")).await;
    let mut target = deployment("1.0.0");
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "configMapRef": { "name": "settings" } }, { "secretRef": { "name": "keys" } }]);
    world.apply(Kind::Deployment, &target).await;
    let mut with_secret = template();
    with_secret["spec"]["provider"]["secretRef"] = json!({ "name": "keys" });
    world.apply(Kind::MetricTemplate, &with_secret).await;
    world.apply(Kind::Canary, &canary()).await;
    world.phase("simple-app", "Initialized").await;
    for (kind, name) in [
        (Kind::Service, "simple-app"),
        (Kind::Service, "simple-app-canary"),
    ] {
        world
            .merge(
                kind,
                name,
                &json!({ "spec": { "selector": { "app": "wrong" } } }),
            )
            .await;
    }
    let rule = json!({ "spec": { "host": "wrong" } });
    world
        .merge(Kind::DestinationRule, "simple-app-canary", &rule)
        .await;
    let before = world.events("simple-app").await.len();
    world.apply(Kind::ConfigMap, &config("two")).await;
    world.apply(Kind::Secret, &secret("two")).await;
    // Someone changes the Canary during every tick, so that writes of its status collide.
    let (api, number) = (world.api(Kind::Canary), AtomicU32::new(0));
    world.web.answer_with(move |request| {
        let note = number.fetch_add(1, Ordering::Relaxed).to_string();
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { "note": note } } }));
        let api = api.clone();
        tokio::spawn(async move { api.patch("simple-app", &Default::default(), &patch).await });
        if request.body.is_some() {
            ok("OK")
        } else {
            ok(&vector(&[("", 1.0)]))
        }
    });
    world.set_image("1.0.1").await;
    world.phase("simple-app", "Succeeded").await;
    let events = world.events("simple-app").await;
    // The three changes may start one run or restart it; from its start on, each step is done once.
    assert!(
        events[before..].ends_with(&TRANSCRIPT.map(String::from)[1..]),
        "{events:#?}"
    );
    first.shutdown.cancel();
    (&mut first.task).await.unwrap().unwrap();

    let used: BTreeSet<_> = recorder
        .kinds()
        .into_iter()
        .map(
            |Asked {
                 verb,
                 group,
                 resource,
             }| (group, resource, verb.to_owned()),
        )
        .collect();
    let allowed = allowed();
    let missing: Vec<_> = used.difference(&allowed).collect();
    let needless: Vec<_> = allowed.difference(&used).collect();
    assert!(
        missing.is_empty() && needless.is_empty(),
        "missing {missing:?}\nneedless {needless:?}"
    );
}

fn manifest(name: &str) -> String {
    let path = format!("{}/../manifests/base/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the manifest is committed")
}

#[test]
fn the_committed_definitions_are_those_the_program_prints() {
    let printed = controller::crd::definitions_yaml().unwrap();
    assert!(
        manifest("crds.yaml") == printed,
        "run `canary-controller crd > manifests/base/crds.yaml` and commit it"
    );
}

#[test]
fn the_definitions_have_flaggers_rules() {
    let definitions = controller::crd::definitions().unwrap();
    let names: Vec<_> = definitions
        .iter()
        .map(|d| d["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "canaries.flagger.app",
            "metrictemplates.flagger.app",
            "alertproviders.flagger.app"
        ]
    );
    for definition in &definitions {
        assert_eq!(
            definition["spec"]["names"]["categories"],
            serde_json::json!(["all"])
        );
        assert_eq!(definition["spec"]["names"]["shortNames"], Value::Null);
        assert_eq!(
            definition["spec"]["versions"][0]["subresources"]["status"],
            serde_json::json!({})
        );
    }
    let spec =
        &definitions[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(
        spec["properties"]["analysis"]["oneOf"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        spec["properties"]["targetRef"]["properties"]["kind"]["enum"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let status =
        &definitions[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert_eq!(status["x-kubernetes-preserve-unknown-fields"], true);
}

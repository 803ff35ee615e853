//! The committed manifests match the program.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use controller::routing::{gateway_api, istio};
use controller::{
    cluster::Kind,
    process::{lease::Times, settings::Settings},
};
use kube::api::Patch;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    gateway_api::{Gateways, deploy_other},
    recorder::{Asked, Recorder},
    release::TRANSCRIPT,
    web::{ok, vector},
    world::{World, canary, deployment, template},
};

/// The committed RBAC objects of the controller: those for all namespaces, and those for writing Secrets in `default`.
pub fn rbac() -> Vec<Value> {
    let mut copies = objects("secret-copies/role.yaml");
    for object in &mut copies {
        object["metadata"]["namespace"] = json!("default");
    }
    [objects("controller/rbac.yaml"), copies].concat()
}

fn objects(file: &str) -> Vec<Value> {
    let text = manifest(file);
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// All rules of the committed objects of a kind.
fn rules(kind: &str) -> Vec<Value> {
    let objects = rbac().into_iter().filter(|object| object["kind"] == kind);
    objects
        .flat_map(|object| object["rules"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// All requests that the rules allow, as group, resource and verb.
fn allowed() -> BTreeSet<(String, String, String)> {
    let mut allowed = BTreeSet::new();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    for rule in [rules("ClusterRole"), rules("Role")].concat() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    allowed.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    // Needed only by an admission plugin.
    assert!(allowed.remove(&(
        "flagger.app".into(),
        "canaries/finalizers".into(),
        "update".into()
    )));
    allowed
}

#[tokio::test(start_paused = true)]
async fn the_committed_rules_allow_exactly_the_requests_of_the_controller() {
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
    world.apply(Kind::CONFIG_MAP, &config("one")).await;
    world.apply(Kind::SECRET, &secret("one")).await;
    let mut target = deployment("1.0.0");
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "configMapRef": { "name": "settings" } }, { "secretRef": { "name": "keys" } }]);
    world.apply(Kind::DEPLOYMENT, &target).await;
    let mut with_secret = template();
    with_secret["spec"]["provider"]["secretRef"] = json!({ "name": "keys" });
    world.apply(Kind::METRIC_TEMPLATE, &with_secret).await;
    world.apply(Kind::CANARY, &canary()).await;
    world.phase("simple-app", "Initialized").await;
    for (kind, name) in [
        (Kind::SERVICE, "simple-app"),
        (Kind::SERVICE, "simple-app-canary"),
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
        .merge(istio::DESTINATION_RULE, "simple-app-canary", &rule)
        .await;
    let before = world.events("simple-app").await.len();
    world.apply(Kind::CONFIG_MAP, &config("two")).await;
    world.apply(Kind::SECRET, &secret("two")).await;
    // Change the Canary during every tick, so that status writes conflict.
    let (api, number) = (world.api(Kind::CANARY), AtomicU32::new(0));
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
    // The three changes may start one run or restart it. From its last start on, each step happens once.
    assert!(
        events[before..].ends_with(&TRANSCRIPT.map(String::from)[1..]),
        "{events:#?}"
    );
    // The other provider.
    let _gateways = Gateways::start(&world);
    deploy_other(&world).await;
    world.phase("other", "Initialized").await;
    let patch = json!({ "spec": { "hostnames": ["drifted.example.com"] } });
    world.merge(gateway_api::HTTP_ROUTE, "other", &patch).await;
    world
        .until("the repair", async || {
            world.get(gateway_api::HTTP_ROUTE, "other").await["spec"]["hostnames"].is_null()
        })
        .await;
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
    let unused: Vec<_> = allowed.difference(&used).collect();
    assert!(
        missing.is_empty() && unused.is_empty(),
        "missing {missing:?}\nunused {unused:?}"
    );
}

#[test]
fn the_rules_allow_no_deletion_and_no_cluster_wide_write_of_secrets() {
    for rule in [rules("ClusterRole"), rules("Role")].concat() {
        let has = |list: &str, word: &str| rule[list].as_array().unwrap().contains(&json!(word));
        for everything in ["apiGroups", "resources", "verbs"] {
            assert!(!has(everything, "*"), "{rule}");
        }
        assert!(!has("verbs", "delete") && !has("verbs", "deletecollection"));
    }
    for rule in rules("ClusterRole") {
        let secrets = rule["resources"]
            .as_array()
            .unwrap()
            .contains(&json!("secrets"));
        if secrets {
            assert_eq!(rule["verbs"], json!(["get", "list", "watch"]));
        }
    }
}

/// The app uses a Secret, but the controller may not write Secrets in its namespace.
#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_copied_is_reported_with_the_role_to_apply() {
    let world = World::new().await;
    let role = "canary-controller-secret-copies";
    world.delete_role_binding(role).await;
    let running = world.start();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" },
        "type": "Opaque", "stringData": { "key": "one" } });
    world.apply(Kind::SECRET, &secret).await;
    let mut target = deployment("1.0.0");
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{ "secretRef": { "name": "keys" } }]);
    world.apply(Kind::DEPLOYMENT, &target).await;
    world.apply(Kind::METRIC_TEMPLATE, &template()).await;
    world.apply(Kind::CANARY, &canary()).await;
    world
        .until("the refusal", async || {
            world.status("simple-app").await["waiting"]["reason"] == "Refused"
        })
        .await;
    let before = running.recorder.tried_of("secrets");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = running.recorder.tried_of("secrets") - before;
    assert!(
        (5..=25).contains(&tries),
        "one dry run about every minute: {tries}"
    );
    let events = world.events("simple-app").await;
    let about = |event: &&String| event.contains("Secret default/keys-primary");
    let reports: Vec<_> = events.iter().filter(about).collect();
    assert_eq!(reports.len(), 1, "{events:#?}");
    for words in [
        "Warning create Secret default/keys-primary",
        "Role canary-controller-secret-copies",
        "kubectl apply --namespace default -k manifests/secret-copies",
        "annotate Secret keys with flagger.app/config-tracking: disabled",
    ] {
        assert!(reports[0].contains(words), "{words}: {reports:?}");
    }
    for kind in [Kind::DEPLOYMENT, Kind::SERVICE] {
        let made = world.get(kind, "simple-app-primary").await;
        assert_eq!(made, Value::Null, "{kind}");
    }
    world.apply_rules().await;
    world.phase("simple-app", "Initialized").await;
    assert_eq!(world.status("simple-app").await["waiting"], Value::Null);
    assert!(!world.get(Kind::SECRET, "keys-primary").await.is_null());
}

fn manifest(name: &str) -> String {
    let path = format!("{}/../manifests/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the manifest is committed")
}

#[test]
fn the_committed_definitions_match_the_output_of_crd() {
    let printed = controller::api::definitions_yaml().unwrap();
    assert!(
        manifest("controller/crds.yaml") == printed,
        "run `canary-controller crd > manifests/controller/crds.yaml` and commit it"
    );
}

#[test]
fn the_definitions_match_flaggers() {
    let definitions = controller::api::definitions().unwrap();
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

/// Returns the paths below `schema` that have a default.
fn defaults(path: &str, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if schema.get("default").is_some() {
        found.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        found.extend(defaults(&format!("{path}.{name}"), property));
    }
    for (mark, inner) in [("[]", "items"), (".*", "additionalProperties")] {
        if let Some(inner) = schema.get(inner) {
            found.extend(defaults(&format!("{path}{mark}"), inner));
        }
    }
    found
}

#[test]
fn no_status_field_has_a_default() {
    for definition in controller::api::definitions().unwrap() {
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let properties = &version["schema"]["openAPIV3Schema"]["properties"];
            assert!(properties["status"].is_object());
            assert_eq!(
                defaults("status", &properties["status"]),
                Vec::<String>::new(),
                "{}: the API server validates each default against its format",
                definition["metadata"]["name"]
            );
        }
    }
}

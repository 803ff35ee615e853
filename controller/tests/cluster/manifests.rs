//! The committed manifests agree with the program.

use serde_json::Value;

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

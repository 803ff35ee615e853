//! The Helm chart, rendered by Helm, has the same objects as the kustomizations, rendered by kubectl.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use e2e::{Output, repository, with_tools};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The chart created by `./run.sh chart`.
struct Chart {
    folder: TempDir,
}

type Objects = BTreeMap<String, Value>;

impl Chart {
    fn make() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let mut command = e2e::run_sh(&folder.path().join("local"));
        let target = folder.path().join("target");
        Output::of(command.arg("chart").env("CARGO_TARGET_DIR", target)).success();
        Self { folder }
    }

    /// Renders the chart with Helm.
    fn render(&self, namespace: &str, values: &Value) -> Output {
        let tools = repository().join(".local/bin");
        let helm = std::fs::read_dir(&tools)
            .expect("./run.sh tools has created the folder")
            .flatten()
            .find(|entry| entry.file_name().to_string_lossy().starts_with("helm-sdk-"));
        let helm: PathBuf = helm
            .expect("Helm is installed; ./run.sh tools fetches it")
            .path();
        let chart = self.folder.path().join("target/chart/canary-controller");
        Output::of(
            Command::new("python3")
                .env("PYTHONPATH", helm)
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .arg(repository().join("scripts/render-chart.py"))
                .args([
                    chart.as_os_str(),
                    namespace.as_ref(),
                    values.to_string().as_ref(),
                ]),
        )
    }

    fn objects(&self, namespace: &str, values: &Value) -> Objects {
        objects(&self.render(namespace, values).success())
    }
}

/// Objects by kind, namespace and name.
fn objects(text: &str) -> Objects {
    let documents = serde_yaml::Deserializer::from_str(text);
    let objects = documents
        .map(|document| -> Value { serde::Deserialize::deserialize(document).expect("YAML") });
    let named = objects.filter(|object| !object.is_null()).map(|object| {
        let meta = &object["metadata"];
        (
            format!("{} {} {}", object["kind"], meta["namespace"], meta["name"]),
            object,
        )
    });
    named.collect()
}

/// Renders kustomizations with kubectl.
fn kustomized(folders: &[&str]) -> Objects {
    let render = |folder: &&str| {
        let mut command = with_tools("kubectl");
        command
            .current_dir(repository())
            .args(["kustomize", &format!("manifests/{folder}")]);
        objects(&Output::of(&mut command).success())
    };
    folders.iter().flat_map(render).collect()
}

#[test]
fn with_default_values_the_chart_equals_the_kustomizations() {
    let chart = Chart::make();
    let expected = kustomized(&["controller", "monitoring"]);
    assert!(expected.len() > 8, "{:?}", expected.keys());
    assert_eq!(chart.objects("istio-system", &json!({})), expected);

    let values = json!({ "namespaced": true, "monitoring": { "enabled": false } });
    let expected = kustomized(&["overlays/namespaced"]);
    assert_eq!(chart.objects("default", &values), expected);

    let values = json!({ "secretCopies": ["default"], "monitoring": { "enabled": false } });
    let expected = kustomized(&["controller", "demo/secret-copies"]);
    assert_eq!(chart.objects("istio-system", &values), expected);

    let crds = "target/chart/canary-controller/crds/crds.yaml";
    let crds = std::fs::read_to_string(chart.folder.path().join(crds)).expect("definitions");
    let committed = repository().join("manifests/controller/crds.yaml");
    assert_eq!(
        crds,
        std::fs::read_to_string(committed).expect("definitions")
    );
}

#[test]
fn every_value_reaches_its_objects() {
    let chart = Chart::make();
    let values = json!({
        "image": { "repository": "r.example.com/team/controller", "tag": "1.2.3" },
        "replicas": 3, "metricsServer": "http://thanos.metrics:9090", "meshProvider": "kubernetes",
        "logLevel": "debug", "resources": { "limits": { "memory": "64Mi" } },
        "secretCopies": ["shop", "bank"], "monitoring": { "namespace": "observability" },
    });
    let found = chart.objects("release-system", &values);
    let deployment = &found[r#""Deployment" "release-system" "canary-controller""#];
    assert_eq!(deployment["spec"]["replicas"], 3);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "r.example.com/team/controller:1.2.3");
    assert_eq!(
        container["resources"]["limits"],
        json!({ "memory": "64Mi" })
    );
    for argument in [
        "--metrics-server=http://thanos.metrics:9090",
        "--mesh-provider=kubernetes",
        "--log-level=debug",
    ] {
        let arguments = container["args"].as_array().expect("arguments");
        assert!(arguments.iter().any(|one| one == argument), "{arguments:?}");
    }
    for namespace in ["shop", "bank"] {
        let binding = format!(r#""RoleBinding" "{namespace}" "canary-controller-secret-copies""#);
        assert_eq!(
            found[&binding]["subjects"][0]["namespace"],
            "release-system"
        );
    }
    let rules = found[r#""PrometheusRule" "observability" "canary-controller""#].to_string();
    assert!(rules.contains("observability/canary-controller"), "{rules}");
    assert!(
        rules.contains("{{ $labels.name }}"),
        "templates of Prometheus are preserved: {rules}"
    );
    let all = json!(found).to_string();
    for placeholder in ["VALUES.", "JSON.", "RELEASE-NAMESPACE", "ITEM"] {
        assert!(!all.contains(placeholder), "{placeholder} is left: {all}");
    }
}

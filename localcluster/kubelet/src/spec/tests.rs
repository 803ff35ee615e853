use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::image::Entry;

fn image() -> Image {
    let entry = Entry {
        blob: "00".into(),
        size: 1,
    };
    Image {
        name: "docker.io/library/app:1".into(),
        digest: "sha256:00".into(),
        created: jiff::Timestamp::UNIX_EPOCH,
        entrypoint: vec!["/usr/local/bin/app".into(), "serve".into()],
        cmd: vec!["--default".into()],
        env: [
            ("VERSION".into(), "1".into()),
            ("BIND_ADDRESS".into(), "0.0.0.0".into()),
        ]
        .into(),
        files: [
            ("/usr/local/bin/app".into(), entry.clone()),
            ("/opt/tool".into(), entry),
        ]
        .into(),
    }
}

fn pod(container: Value) -> Pod {
    let mut with_name = json!({"name": "app", "image": "app:1"});
    with_name
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "metadata": {"name": "app-x", "namespace": "default", "uid": "u1", "labels": {"app": "a", "x.io/y": "z"}},
        "spec": {"nodeName": "local", "containers": [with_name]},
    }))
    .unwrap()
}

fn sources() -> Sources {
    serde_json::from_value::<BTreeMap<String, Value>>(json!({
        "map": {"data": {"COLOR": "red", "level": "3"}}, "secret": {"data": {"PASSWORD": "aHVudGVyMg=="}},
    }))
    .map(|objects| Sources {
        config_maps: [
            ("map".into(), serde_json::from_value(objects["map"].clone()).ok()),
            ("gone".into(), None),
        ]
        .into(),
        secrets: [
            ("secret".into(), serde_json::from_value(objects["secret"].clone()).ok()),
            ("gone".into(), None),
        ]
        .into(),
    })
    .unwrap()
}

fn injected() -> Injected {
    Injected {
        pod_ip: "127.9.1.1".into(),
        host_ip: "127.9.0.1".into(),
        proxy: Some("http://127.9.0.2:15001".into()),
        api_server: Some(("127.9.0.1".into(), "6443".into())),
        service_account: Some("/pods/u1/serviceaccount".into()),
        tmp: "/pods/u1/tmp".into(),
        home: "/pods/u1/home".into(),
    }
}

fn launch_of(container: Value) -> Result<Launch, SpecError> {
    let pod = pod(container);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    launch(
        &pod,
        container,
        &image(),
        &sources(),
        &injected(),
        &PodFolders::new("/pods/u1"),
    )
}

fn env_of(container: Value) -> BTreeMap<String, String> {
    launch_of(container).unwrap().env.into_iter().collect()
}

fn words(launch: &Launch) -> Vec<String> {
    let args = launch
        .args
        .iter()
        .map(|arg| arg.to_str().unwrap().to_owned());
    [launch.program.display().to_string()]
        .into_iter()
        .chain(args)
        .collect()
}

#[test]
fn the_environment_of_a_plain_container() {
    insta::assert_json_snapshot!(env_of(json!({})));
}

#[test]
fn command_and_args_override_the_image_as_in_kubernetes() {
    let root = "/pods/u1/containers/app/rootfs";
    for (container, expected) in [
        (
            json!({}),
            vec![
                format!("{root}/usr/local/bin/app"),
                "serve".into(),
                "--default".into(),
            ],
        ),
        (
            json!({"args": ["-x"]}),
            vec![
                format!("{root}/usr/local/bin/app"),
                "serve".into(),
                "-x".into(),
            ],
        ),
        (
            json!({"command": ["/opt/tool"]}),
            vec![format!("{root}/opt/tool")],
        ),
        (
            json!({"command": ["app", "run"], "args": ["-x"]}),
            vec![
                format!("{root}/usr/local/bin/app"),
                "run".into(),
                "-x".into(),
            ],
        ),
        (
            json!({"args": ["$(PORT)", "$$(PORT)", "$(VERSION)", "$(COLOR)"], "env": [{"name": "PORT", "value": "80"}],
                   "envFrom": [{"configMapRef": {"name": "map"}}]}),
            vec![
                format!("{root}/usr/local/bin/app"),
                "serve".into(),
                "80".into(),
                "$(PORT)".into(),
                "$(VERSION)".into(),
                "red".into(),
            ],
        ),
    ] {
        assert_eq!(words(&launch_of(container).unwrap()), expected);
    }
}

#[test]
fn only_programs_of_the_image_run() {
    for program in [
        "/bin/sh",
        "sh",
        "../../bin/sh",
        "/usr/local/bin/../../../../bin/sh",
        "",
    ] {
        let error = launch_of(json!({"command": [program, "-c", "true"]})).unwrap_err();
        assert!(
            matches!(error, SpecError::Container(_)),
            "{program}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.contains("app:1")
                && text.contains("/opt/tool")
                && text.contains("localcluster image build"),
            "{text}"
        );
    }
}

#[test]
fn values_of_the_pod_override_injected_ones() {
    let env = env_of(json!({"env": [
        {"name": "BIND_ADDRESS", "value": "127.0.0.1"}, {"name": "HTTP_PROXY", "value": ""}, {"name": "VERSION", "value": "2"},
    ]}));
    assert_eq!(
        (&*env["BIND_ADDRESS"], &*env["HTTP_PROXY"], &*env["VERSION"]),
        ("127.0.0.1", "", "2")
    );
}

#[test]
fn values_come_from_fields_and_other_objects() {
    let from = |name: &str, from: Value| json!({"name": name, "valueFrom": from});
    let field = |name: &str, path: &str| from(name, json!({"fieldRef": {"fieldPath": path}}));
    let env = env_of(json!({
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
        "envFrom": [{"configMapRef": {"name": "map"}, "prefix": "P_"}, {"secretRef": {"name": "secret"}}, {"secretRef": {"name": "gone", "optional": true}}],
        "env": [
            field("NAME", "metadata.name"), field("NS", "metadata.namespace"), field("LABEL", "metadata.labels['x.io/y']"),
            field("IP", "status.podIP"), field("NODE", "spec.nodeName"), field("SA", "spec.serviceAccountName"),
            from("COLOR", json!({"configMapKeyRef": {"name": "map", "key": "COLOR"}})),
            from("PW", json!({"secretKeyRef": {"name": "secret", "key": "PASSWORD"}})),
            from("UNSET", json!({"configMapKeyRef": {"name": "map", "key": "none", "optional": true}})),
            from("CPUS", json!({"resourceFieldRef": {"resource": "limits.cpu"}})),
            from("MIB", json!({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}})),
            {"name": "URL", "value": "http://$(NAME).$(NS)/$(P_COLOR)"},
        ],
    }));
    let picked: Vec<&str> = [
        "NAME", "NS", "LABEL", "IP", "NODE", "SA", "COLOR", "PW", "CPUS", "MIB", "URL", "P_COLOR",
        "PASSWORD",
    ]
    .iter()
    .map(|name| env[*name].as_str())
    .collect();
    let expected = [
        "app-x",
        "default",
        "z",
        "127.9.1.1",
        "local",
        "default",
        "red",
        "hunter2",
        "2",
        "64",
        "http://app-x.default/$(P_COLOR)",
        "red",
        "hunter2",
    ];
    assert_eq!(picked, expected);
    assert!(!env.contains_key("UNSET"));
}

#[test]
fn missing_mandatory_sources_are_reported_as_by_the_kubelet_of_kubernetes() {
    for (container, expected) in [
        (
            json!({"envFrom": [{"configMapRef": {"name": "gone"}}]}),
            "configmap \"gone\" not found",
        ),
        (
            json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}}]}),
            "secret \"gone\" not found",
        ),
        (
            json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "none"}}}]}),
            "couldn't find key none in ConfigMap default/map",
        ),
        (
            json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.bogus"}}}]}),
            "environment variable X: fieldPath \"spec.bogus\" is not supported",
        ),
    ] {
        let error = launch_of(container).unwrap_err();
        assert!(matches!(error, SpecError::Config(_)));
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn references_include_every_object_to_read() {
    let pod = pod(json!({
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
        "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}, {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}}],
    }));
    let found = references(&pod.spec.unwrap().containers[0]);
    assert_eq!(
        found.config_maps,
        BTreeSet::from(["a".to_owned(), "c".to_owned()])
    );
    assert_eq!(
        found.secrets,
        BTreeSet::from(["b".to_owned(), "d".to_owned()])
    );
}

#[test]
fn an_empty_dir_at_tmp_is_the_containers_tmpdir() {
    let mut pod = pod(json!({"volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}]}));
    let folders = PodFolders::new("/pods/u1");
    let tmp = |pod: &Pod| {
        let spec = pod.spec.as_ref().unwrap();
        folders.tmp(spec, &spec.containers[0])
    };
    assert_eq!(tmp(&pod), Path::new("/pods/u1/tmp"));
    pod.spec.as_mut().unwrap().volumes =
        serde_json::from_value(json!([{"name": "scratch", "emptyDir": {}}])).unwrap();
    assert_eq!(tmp(&pod), Path::new("/pods/u1/volumes/scratch"));
}

#[test]
fn fields_without_effect_are_listed() {
    let mut pod = pod(json!({
        "resources": {"limits": {"cpu": "1"}},
        "securityContext": {"readOnlyRootFilesystem": true, "runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {"grpc": {"port": 1}}, "livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTPS"}},
        "startupProbe": {"httpGet": {"port": 1}},
    }));
    let spec = pod.spec.as_mut().unwrap();
    spec.host_network = Some(true);
    spec.volumes = serde_json::from_value(json!([
        {"name": "scratch", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "x"}}, {"name": "disk", "hostPath": {"path": "/"}},
    ]))
    .unwrap();
    let limits = limits_of(&pod);
    assert_eq!(
        limits.unsupported,
        [
            "spec.hostNetwork",
            "spec.volumes[conf].configMap",
            "spec.volumes[disk].hostPath",
            "spec.containers[app].securityContext.runAsUser",
            "spec.containers[app].readinessProbe.grpc",
            "spec.containers[app].livenessProbe.httpGet.scheme",
        ]
    );
    assert_eq!(
        limits.not_enforced,
        [
            "spec.volumes[scratch].emptyDir",
            "spec.containers[app].securityContext.readOnlyRootFilesystem",
            "spec.containers[app].securityContext.capabilities",
            "spec.containers[app].resources",
        ]
    );
}

#[test]
fn an_ordinary_pod_has_no_limits() {
    assert_eq!(
        limits_of(&pod(
            json!({"readinessProbe": {"httpGet": {"path": "/", "port": 80}}})
        )),
        Limits::default()
    );
}

//! `./run.sh up --on minikube --profile ambient` with stub programs that log their calls.

use std::fs;

use e2e::{Machine, Output};

use crate::minikube::{changes, commands, laptop, run};

const UP: [&str; 5] = ["up", "--on", "minikube", "--profile", "ambient"];

fn fails(machine: &Machine, call: &str) -> Output {
    Output::of(machine.command(&UP).env("FAIL_ON", call))
}

fn dry_run(machine: &Machine) -> String {
    run(machine, &[&UP[..], &["--dry-run"]].concat()).success()
}

#[test]
fn a_dry_run_prints_the_exact_commands_of_the_profile() {
    let machine = laptop();
    insta::assert_snapshot!(dry_run(&machine));
    assert_eq!(machine.calls(), [""; 0]);
    assert_eq!(machine.files("local"), [""; 0], "nothing is written either");
}

#[test]
fn up_runs_the_commands_of_the_dry_run_in_that_order_and_remembers_the_profile() {
    let machine = laptop();
    let mut expected = commands(&dry_run(&machine));
    let last = expected.pop().unwrap();
    assert!(last.contains("wait canary/simple-app"), "{last}");
    let output = run(&machine, &UP).success();
    assert_eq!(changes(&machine), expected);
    let app = "app          kubectl port-forward --namespace default service/simple-app-istio 8080:80   \
               http://localhost:8080/";
    assert!(output.contains(app), "{output}");

    // The profile is remembered until `down`.
    run(&machine, &["up"]).success();
    let again = changes(&machine);
    let overlay = "kubectl --context minikube apply -k manifests/overlays/minikube-ambient";
    assert!(again.iter().any(|call| call == overlay), "{again:#?}");
    let urls = run(&machine, &["urls"]).success();
    assert!(urls.contains(app), "{urls}");
    let status = run(&machine, &["status"]).success();
    assert!(
        status.contains("Cluster: minikube, profile ambient"),
        "{status}"
    );
    run(&machine, &["down"]).success();
    assert_eq!(machine.files("local"), [""; 0]);
    let output = run(&machine, &["up", "--on", "minikube"]).success();
    assert!(output.contains("service/istio-ingressgateway"), "{output}");
}

#[test]
fn a_failed_step_is_reported_with_its_reason_and_a_second_run_continues() {
    for (call, step, words) in [
        (
            "standard-install.yaml",
            "Gateway API definitions",
            "behind a proxy, set HTTPS_PROXY",
        ),
        (
            "wait customresourcedefinition/gateways",
            "Gateway API definitions",
            "simulated failure",
        ),
        (
            "istioctl install",
            "Istio in ambient mode",
            "last lines of prometheus-grafana-0",
        ),
        (
            "label namespace",
            "Namespace default in the mesh",
            "simulated failure",
        ),
        (
            "apply -k",
            "App, load tester, controller, canary",
            "simulated failure",
        ),
        (
            "wait gateways.gateway.networking.k8s.io/waypoint",
            "Waypoint and gateway are programmed",
            "--- conditions of gateway/waypoint",
        ),
        (
            "wait gateways.gateway.networking.k8s.io/simple-app",
            "Waypoint and gateway are programmed",
            "Programmed=False AddressNotAssigned: no pod responds yet",
        ),
    ] {
        let machine = laptop();
        let failed = fails(&machine, call);
        assert_eq!(failed.code, 1, "{call}: {}", failed.stdout);
        let last = failed.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(&format!("FAIL  {step}")), "{call}: {last}");
        let hint = "./run.sh up --on minikube --profile ambient continues from here";
        for words in [words, hint] {
            assert!(failed.stderr.contains(words), "{call}: {}", failed.stderr);
        }
        machine.calls();
        let again = run(&machine, &["up", "--on", "minikube"]);
        assert_eq!(again.code, 0, "{call}: {}{}", again.stdout, again.stderr);
        let calls = changes(&machine);
        for done in [call, "overlays/minikube-ambient"] {
            assert!(calls.iter().any(|call| call.contains(done)), "{calls:#?}");
        }
    }
}

#[test]
fn the_other_profile_is_rejected_while_a_cluster_is_up() {
    for (first, second) in [("ambient", "sidecar"), ("sidecar", "ambient")] {
        let machine = laptop();
        run(&machine, &["up", "--on", "minikube", "--profile", first]).success();
        machine.calls();
        let refused = run(&machine, &["up", "--profile", second]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        let sentence = format!(
            "error: a cluster with profile {first} is up; remove it with ./run.sh down before using --profile {second}\n"
        );
        assert_eq!(refused.stderr, sentence);
        assert_eq!(changes(&machine), [""; 0]);
    }
}

#[test]
fn an_unknown_profile_is_rejected_with_the_valid_ones() {
    let machine = laptop();
    for args in [&["--profile", "mesh"][..], &["--profile=mesh"]] {
        let refused = run(&machine, &[&["up", "--on", "minikube"], args].concat());
        assert_eq!(refused.code, 64, "{}", refused.stdout);
        assert_eq!(
            refused.stderr,
            "error: unknown profile 'mesh'; use --profile sidecar or --profile ambient\n"
        );
    }
    let refused = run(&machine, &["up", "--profile"]);
    assert_eq!(refused.code, 64, "{}", refused.stdout);
    assert_eq!(machine.files("local"), [""; 0], "nothing was started");
}

/// A machine with an existing Minikube that has its own Istio.
fn foreign_minikube() -> Machine {
    let machine = laptop();
    for file in ["started", "istiod", "definitions"] {
        fs::write(machine.path(file), "").unwrap();
    }
    fs::write(machine.path("ztunnel"), "pod/ztunnel-x7k2p\n").unwrap();
    machine
}

#[test]
fn istio_and_definitions_of_a_foreign_minikube_are_kept_and_down_removes_only_its_own_objects() {
    let machine = foreign_minikube();
    run(&machine, &UP).success();
    let calls = changes(&machine);
    for theirs in ["standard-install.yaml", "istioctl install"] {
        assert!(
            !calls.iter().any(|call| call.contains(theirs)),
            "{calls:#?}"
        );
    }
    run(&machine, &["down"]).success();
    assert_eq!(
        changes(&machine),
        [
            "kubectl --context minikube label namespace default istio.io/use-waypoint- istio.io/ingress-use-waypoint-",
            "kubectl --context minikube delete -k manifests/overlays/minikube-ambient --ignore-not-found",
        ]
    );
}

#[test]
fn an_istio_without_ambient_mode_is_reported_with_both_remedies() {
    let machine = foreign_minikube();
    fs::remove_file(machine.path("ztunnel")).unwrap();
    let failed = run(&machine, &UP);
    assert_eq!(failed.code, 1, "{}", failed.stdout);
    for words in [
        "the installed Istio does not run in ambient mode: no pod is labelled app=ztunnel",
        "./run.sh up --on minikube --profile sidecar",
        "istioctl install --set profile=ambient",
    ] {
        assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    }
}

#[test]
fn only_docker_needs_a_platform_setting_for_network_namespaces() {
    let machine = laptop();
    fs::write(machine.path("runtime"), "containerd://2.1.4").unwrap();
    run(&machine, &UP).success();
    let calls = changes(&machine);
    let install = calls.iter().find(|call| call.starts_with("istioctl "));
    assert_eq!(
        install.unwrap(),
        "istioctl install --context minikube --skip-confirmation --set profile=ambient"
    );
}

//! `./run.sh up --on minikube --profile ambient`, with programs that only write down how they were called.

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
fn up_runs_the_commands_of_the_dry_run_in_that_order_and_the_profile_is_known_afterwards() {
    let machine = laptop();
    let mut expected = commands(&dry_run(&machine));
    let last = expected.pop().unwrap();
    assert!(last.contains("wait canary/simple-app"), "{last}");
    let said = run(&machine, &UP).success();
    assert_eq!(changes(&machine), expected);
    let app = "app          kubectl port-forward --namespace default service/simple-app-istio 8080:80   \
               http://localhost:8080/";
    assert!(said.contains(app), "{said}");

    // Nobody has to say it again, except where nothing is up.
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
    let said = run(&machine, &["up", "--on", "minikube"]).success();
    assert!(said.contains("service/istio-ingressgateway"), "{said}");
}

#[test]
fn a_step_that_fails_is_named_with_its_reason_and_a_second_run_goes_on() {
    for (call, step, words) in [
        (
            "standard-install.yaml",
            "Gateway API definitions",
            "behind a proxy set HTTPS_PROXY",
        ),
        (
            "wait customresourcedefinition/gateways",
            "Gateway API definitions",
            "out of luck",
        ),
        (
            "istioctl install",
            "Istio in ambient mode",
            "last lines of prometheus-grafana-0",
        ),
        (
            "label namespace",
            "Namespace default in the mesh",
            "out of luck",
        ),
        (
            "apply -k",
            "App, load tester, controller, canary",
            "out of luck",
        ),
        (
            "wait gateways.gateway.networking.k8s.io/waypoint",
            "Waypoint and gateway are programmed",
            "--- conditions of gateway/waypoint",
        ),
        (
            "wait gateways.gateway.networking.k8s.io/simple-app",
            "Waypoint and gateway are programmed",
            "Programmed=False AddressNotAssigned: no pod answers yet",
        ),
    ] {
        let machine = laptop();
        let failed = fails(&machine, call);
        assert_eq!(failed.code, 1, "{call}: {}", failed.stdout);
        let last = failed.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(&format!("FAIL  {step}")), "{call}: {last}");
        let go_on = "./run.sh up --on minikube --profile ambient goes on from here";
        for words in [words, go_on] {
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
fn the_other_profile_is_refused_while_a_cluster_is_up() {
    for (first, second) in [("ambient", "sidecar"), ("sidecar", "ambient")] {
        let machine = laptop();
        run(&machine, &["up", "--on", "minikube", "--profile", first]).success();
        machine.calls();
        let refused = run(&machine, &["up", "--profile", second]);
        assert_eq!(refused.code, 1, "{}", refused.stdout);
        let sentence = format!(
            "error: a cluster with the profile {first} is up; for --profile {second} remove it first with ./run.sh down\n"
        );
        assert_eq!(refused.stderr, sentence);
        assert_eq!(changes(&machine), [""; 0]);
    }
}

#[test]
fn an_unknown_profile_is_refused_with_the_two_that_there_are() {
    let machine = laptop();
    for args in [&["--profile", "mesh"][..], &["--profile=mesh"]] {
        let refused = run(&machine, &[&["up", "--on", "minikube"], args].concat());
        assert_eq!(refused.code, 64, "{}", refused.stdout);
        assert_eq!(
            refused.stderr,
            "error: there is no profile 'mesh'; use --profile sidecar or --profile ambient\n"
        );
    }
    let refused = run(&machine, &["up", "--profile"]);
    assert_eq!(refused.code, 64, "{}", refused.stdout);
    assert_eq!(machine.files("local"), [""; 0], "nothing was begun");
}

/// A Minikube that was there before, with an Istio of somebody's own.
fn somebody_elses() -> Machine {
    let machine = laptop();
    for file in ["started", "istiod", "definitions"] {
        fs::write(machine.path(file), "").unwrap();
    }
    fs::write(machine.path("ztunnel"), "pod/ztunnel-x7k2p\n").unwrap();
    machine
}

#[test]
fn in_a_minikube_of_somebody_else_istio_and_definitions_are_left_and_down_takes_its_own_away() {
    let machine = somebody_elses();
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
fn an_istio_without_ambient_mode_is_told_with_both_ways_out() {
    let machine = somebody_elses();
    fs::remove_file(machine.path("ztunnel")).unwrap();
    let failed = run(&machine, &UP);
    assert_eq!(failed.code, 1, "{}", failed.stdout);
    for words in [
        "the Istio that is there has no ambient mode: no pod is labelled app=ztunnel",
        "./run.sh up --on minikube --profile sidecar",
        "istioctl install --set profile=ambient",
    ] {
        assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    }
}

#[test]
fn only_docker_needs_its_own_place_of_network_namespaces() {
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

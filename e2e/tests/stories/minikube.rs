//! `./run.sh up --on minikube` with stub programs that log their calls.

use std::{fs, os::unix::process::CommandExt as _, process::Command, time::Duration};

use e2e::{Machine, Output, until};

/// A machine with Minikube and all its prerequisites, on which nothing has been started yet.
pub(crate) fn laptop() -> Machine {
    let machine = Machine::new();
    machine.program(
        "minikube",
        r#"case "$*" in
  version*) echo "minikube version: v1.38.1" ;;
  status*) test -e "$STATE/stopped" && exit 7; test -e "$STATE/started" || exit 85 ;;
  start*) touch "$STATE/started"; rm -f "$STATE/stopped" ;;
  delete*) rm -f "$STATE/started" "$STATE/stopped" "$STATE/images" ;;
  "config get"*) exit 14 ;;
  "image build"*) test -n "${NO_IMAGE:-}" || echo "$4" >>"$STATE/images" ;;
  "image ls"*) cat "$STATE/images" 2>/dev/null || true ;;
esac"#,
    );
    machine.program("docker", r#"case $1 in info) echo "8000000000 4" ;; esac"#);
    machine.program(
        "istioctl",
        r#"case $1 in version) echo "client version: 1.29.0" ;; esac"#,
    );
    machine.program(
        "helm",
        r#"case $1 in version) echo "v4.0.1+g12500dd" ;; status) test -e "$STATE/helm" && cat "$STATE/helm" ;; uninstall) rm "$STATE/helm" ;; esac"#,
    );
    machine.program(
        "kubectl",
        r#"case "$*" in
  *version*) echo "Client Version: v1.34.1" ;;
  *"get canary "*conditions*) cat "$STATE/promoted" ;;
  *"get canary "*) echo Initialized ;;
  *"get customresourcedefinition"*) test -e "$STATE/definitions" ;;
  *"get --raw"*) printf 'version: 1.0.0' ;;
  *"get nodes"*) cat "$STATE/runtime" 2>/dev/null || printf docker://28.4.0 ;;
  *"get deployment istiod"*) test -e "$STATE/istiod" ;;
  *app=ztunnel*) cat "$STATE/ztunnel" 2>/dev/null || true ;;
  *"get gateways."*) echo "Programmed=False AddressNotAssigned: no pod responds yet" ;;
  *"get pods"*) echo "prometheus-grafana-0   1/2   ImagePullBackOff   0   3m" ;;
  *"get events"*--watch-only*) exec sleep 60 >/dev/null 2>&1 3>&- 4>&- ;;
  *"get events"*) echo "prometheus-grafana-0   Failed   no such image" ;;
  *logs*) echo "last words" ;;
  *"config current-context"*) echo elsewhere ;;
esac"#,
    );
    machine
}

pub(crate) fn run(machine: &Machine, args: &[&str]) -> Output {
    Output::of(&mut machine.command(args))
}

fn fails(machine: &Machine, variable: &str, value: &str) -> Output {
    let mut command = machine.command(&["up", "--on", "minikube"]);
    Output::of(command.env(variable, value))
}

/// Waits until all processes of this machine have ended.
fn wait_for_processes_to_end(machine: &Machine) {
    until(Duration::from_secs(20), "all processes to end", || {
        let left = machine.processes();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

/// Returns whether a call is read-only.
fn is_read_only(call: &str) -> bool {
    let mut words = call.split(' ').skip(1);
    let verb = words.next();
    matches!(verb, Some("version" | "status" | "info"))
        || [" get ", " image ls", " logs "]
            .iter()
            .any(|ask| call.contains(ask))
}

/// Returns the logged calls that are not read-only and clears the log.
pub(crate) fn changes(machine: &Machine) -> Vec<String> {
    let mut calls = machine.calls();
    calls.retain(|call| !is_read_only(call));
    calls
}

/// Returns the commands of a dry run that are not read-only, with quotes removed as by the shell.
pub(crate) fn commands(dry_run: &str) -> Vec<String> {
    let lines = dry_run
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let commands = lines.skip(1).map(|line| line.replace('\'', ""));
    commands.filter(|command| !is_read_only(command)).collect()
}

#[test]
fn a_dry_run_prints_the_exact_commands_and_runs_none() {
    let machine = laptop();
    let printed = run(&machine, &["up", "--on", "minikube", "--dry-run"]).success();
    insta::assert_snapshot!(printed);
    assert_eq!(machine.calls(), [""; 0]);
    assert_eq!(machine.files("local"), [""; 0], "nothing is written either");
}

#[test]
fn up_runs_the_commands_of_the_dry_run_in_that_order() {
    let machine = laptop();
    let mut expected = commands(&run(&machine, &["up", "--on", "minikube", "--dry-run"]).success());
    // Instead of `kubectl wait`, the real run polls the canary's phase, because after a release it is
    // Succeeded or Failed and never Initialized again.
    let last = expected.pop().unwrap();
    assert!(last.contains("wait canary/simple-app"), "{last}");
    let output = run(&machine, &["up", "--on", "minikube"]).success();
    assert_eq!(changes(&machine), expected);
    assert!(output.contains("version: 1.0.0"), "{output}");
    let without_context: Vec<String> = expected
        .into_iter()
        .filter(|call| {
            let is_remote = ["kubectl ", "istioctl ", "helm upgrade"]
                .iter()
                .any(|start| call.starts_with(start));
            is_remote && !call.contains("context minikube")
        })
        .collect();
    assert_eq!(
        without_context, [""; 0],
        "every command must name the context"
    );
    let page = "rollouts     kubectl port-forward --namespace istio-system service/canary-controller 8081:80   \
                http://localhost:8081/";
    assert!(output.contains(page), "{output}");
}

#[test]
fn a_failed_step_is_reported_with_the_programs_output_and_a_second_run_continues() {
    for (call, step) in [
        ("minikube start", "Minikube"),
        ("addons enable", "Addon metrics-server"),
        (
            "image build --tag docker.io/library/simple-app:1.0.1",
            "Image simple-app:1.0.1",
        ),
        (
            "image build --tag docker.io/library/canary-controller",
            "Image canary-controller",
        ),
        ("istioctl install", "Istio"),
        ("label namespace", "Sidecars in namespace default"),
        ("helm repo", "Helm repository"),
        ("helm upgrade", "Prometheus (kube-prometheus-stack)"),
        ("wait prometheus/", "Prometheus is available"),
        ("apply --server-side", "Custom resource definitions"),
        ("apply -k", "App, load tester, controller, canary"),
        ("rollout status", "Controller and load tester are ready"),
    ] {
        let machine = laptop();
        let failed = fails(&machine, "FAIL_ON", call);
        assert_eq!(failed.code, 1, "{call}: {}", failed.stdout);
        let last = failed.stdout.lines().last().unwrap_or_default().to_owned();
        assert!(last.contains(&format!("FAIL  {step}")), "{call}: {last}");
        for words in [
            "simulated failure",
            "./run.sh up --on minikube continues from here",
        ] {
            assert!(failed.stderr.contains(words), "{call}: {}", failed.stderr);
        }
        machine.calls();
        let again = run(&machine, &["up", "--on", "minikube"]);
        assert_eq!(again.code, 0, "{call}: {}{}", again.stdout, again.stderr);
        assert!(
            changes(&machine).iter().any(|done| done.contains(call)),
            "the second run repeats {call}"
        );
    }
}

#[test]
fn a_timeout_reports_the_pods_their_warnings_and_their_last_log_lines() {
    for call in [
        "istioctl install",
        "helm upgrade",
        "wait prometheus/",
        "rollout status",
    ] {
        let failed = fails(&laptop(), "FAIL_ON", call);
        for words in [
            "ImagePullBackOff",
            "no such image",
            "last lines of prometheus-grafana-0",
            "last words",
        ] {
            assert!(
                failed.stderr.contains(words),
                "{call}, {words}: {}",
                failed.stderr
            );
        }
    }
}

#[test]
fn too_little_memory_is_reported_with_a_remedy() {
    let machine = laptop();
    machine.program(
        "minikube",
        r#"case "$*" in
  version*) echo "minikube version: v1.38.1" ;;
  status*) exit 85 ;;
  start*) echo "X Exiting due to RSRC_INSUFFICIENT_CONTAINERS_MEMORY" >&2; exit 29 ;;
esac"#,
    );
    let failed = run(&machine, &["up", "--on", "minikube"]);
    assert_eq!(failed.code, 1);
    for words in ["RSRC_INSUFFICIENT", "MINIKUBE_MEMORY=3072 ./run.sh"] {
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
    }
}

#[test]
fn ctrl_c_leaves_no_process_running_and_the_next_run_continues() {
    let machine = laptop();
    let installed = fs::read_to_string(machine.path("bin").join("helm")).unwrap();
    // Ctrl-C at a terminal signals every process of the group.
    machine.program(
        "helm",
        r#"case $1 in version) echo v3.19.0 ;; upgrade) kill -INT 0; sleep 60 ;; esac"#,
    );
    let mut up = machine.command_at_a_terminal(&["up", "--on", "minikube"]);
    let ended = Output::of(up.process_group(0));
    assert_eq!(ended.code, 130, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stdout
            .contains("FAIL  Prometheus (kube-prometheus-stack)"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stderr.contains("continues from here"),
        "{}",
        ended.stderr
    );
    wait_for_processes_to_end(&machine);

    machine.file("helm", &installed);
    run(&machine, &["up", "--on", "minikube"]).success();
}

#[test]
fn a_build_that_produces_no_image_fails_regardless_of_its_exit_code() {
    let failed = fails(&laptop(), "NO_IMAGE", "yes");
    assert_eq!(failed.code, 1);
    assert!(
        failed
            .stderr
            .contains("the build produced no image simple-app:1.0.0"),
        "{}",
        failed.stderr
    );
}

#[test]
fn all_missing_and_outdated_programs_are_reported_together() {
    let machine = laptop();
    machine.remove("istioctl");
    machine.remove("docker");
    machine.program("helm", "echo v2.1.0");
    machine.file("kubectl", "#!/no/such/interpreter\n");
    let refused = run(&machine, &["up", "--on", "minikube"]);
    assert_eq!(refused.code, 1);
    for words in [
        "istioctl: not found; ",
        "helm: found 2.1.0; ",
        "kubectl: found an unknown version; ",
        "docker or another Minikube driver: not found, see https://",
    ] {
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
    assert!(
        !refused.stderr.contains("  minikube:"),
        "{}",
        refused.stderr
    );
    assert_eq!(changes(&machine), [""; 0], "nothing was started");
    assert_eq!(
        machine.files("local"),
        [""; 0],
        "nothing was written either"
    );
}

#[test]
fn an_unresponsive_or_too_small_driver_is_reported_before_anything_is_started() {
    for (docker, words) in [
        (
            "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
            "docker: the daemon does not respond (Cannot connect to the Docker daemon)",
        ),
        (
            "echo '2147483648 4'",
            "memory: Docker has 2048 MB, 4096 MB are required",
        ),
        ("echo '8000000000 1'", "CPUs: Docker has 1, 2 are required"),
    ] {
        let machine = laptop();
        machine.program("docker", docker);
        let refused = run(&machine, &["up", "--on", "minikube"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert_eq!(changes(&machine), [""; 0]);
        // An explicitly chosen driver is not checked.
        let chosen = fails(&machine, "MINIKUBE_DRIVER", "ssh");
        assert_eq!(chosen.code, 0, "{}", chosen.stderr);
    }
}

#[test]
fn build_options_match_the_nodes_container_runtime() {
    let machine = laptop();
    fs::write(machine.path("started"), "").unwrap();
    fs::write(machine.path("runtime"), "containerd://2.1.4").unwrap();
    run(&machine, &["up", "--on", "minikube"]).success();
    let calls = changes(&machine);
    for options in [
        "--file Dockerfile.app --build-opt=opt=build-arg:VERSION=1.0.1 .",
        "--file Dockerfile.controller --build-opt=opt=target=controller .",
    ] {
        assert!(
            calls.iter().any(|call| call.ends_with(options)),
            "{calls:#?}"
        );
    }
}

#[test]
fn a_pending_helm_release_of_a_killed_run_is_removed_first() {
    let machine = laptop();
    fs::write(
        machine.path("helm"),
        r#"{"name":"prometheus","info":{"status":"pending-install"}}"#,
    )
    .unwrap();
    run(&machine, &["up", "--on", "minikube"]).success();
    let calls = changes(&machine);
    let helm: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.strip_prefix("helm "))
        .filter_map(|call| call.split(' ').next())
        .collect();
    assert_eq!(helm, ["repo", "uninstall", "upgrade"]);
}

#[test]
fn existing_installations_in_a_foreign_minikube_are_unchanged() {
    let machine = laptop();
    fs::write(machine.path("stopped"), "").unwrap();
    fs::write(machine.path("istiod"), "").unwrap();
    fs::write(
        machine.path("helm"),
        r#"{"info":{"status":"deployed"},"name":"prometheus"}"#,
    )
    .unwrap();
    run(&machine, &["up", "--on", "minikube"]).success();
    let calls = changes(&machine);
    assert_eq!(calls[0], "minikube start", "with its own settings");
    let installs = |call: &&String| call.contains(" install ") || call.contains(" upgrade ");
    assert_eq!(calls.iter().find(installs), None);
}

#[test]
fn down_deletes_a_minikube_that_up_created_and_keeps_one_that_existed_before() {
    let machine = laptop();
    run(&machine, &["up", "--on", "minikube"]).success();
    machine.calls();
    run(&machine, &["down"]).success();
    assert_eq!(changes(&machine), ["minikube delete"]);

    // A failed first start also leaves a Minikube to delete.
    fails(&machine, "FAIL_ON", "minikube start");
    machine.calls();
    run(&machine, &["down"]).success();
    assert_eq!(changes(&machine), ["minikube delete"]);

    fs::write(machine.path("started"), "").unwrap();
    run(&machine, &["up", "--on", "minikube"]).success();
    assert!(
        !changes(&machine)
            .iter()
            .any(|call| call.starts_with("minikube start"))
    );
    run(&machine, &["down"]).success();
    assert_eq!(
        changes(&machine),
        ["kubectl --context minikube delete -k manifests/overlays/minikube --ignore-not-found"]
    );
    assert_eq!(machine.files("local"), [""; 0]);
}

/// Runs `./run.sh ARGS` at a terminal and types `answer` and Return.
fn at_a_terminal(machine: &Machine, args: &str, answer: &str) -> Output {
    let command = machine.command(&[]);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut terminal = Command::new("/usr/bin/script");
    terminal
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{program} {args}"))
        .arg("/dev/null");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let typed = machine.path("typed");
    fs::write(&typed, format!("{answer}\n")).unwrap();
    Output::of(terminal.stdin(fs::File::open(typed).unwrap()))
}

#[test]
fn down_asks_before_deleting_a_minikube_that_existed_before() {
    for (answer, done) in [
        ("y", "minikube delete"),
        (
            "",
            "kubectl --context minikube delete -k manifests/overlays/minikube --ignore-not-found",
        ),
    ] {
        let machine = laptop();
        fs::write(machine.path("started"), "").unwrap();
        run(&machine, &["up", "--on", "minikube"]).success();
        machine.calls();
        let output = at_a_terminal(&machine, "down", answer).success();
        assert!(output.contains("Delete it? [y/N]"), "{output}");
        assert_eq!(changes(&machine), [done], "{output}");
    }
}

#[test]
fn a_release_can_be_followed_without_rust() {
    for (condition, code, words) in [
        ("True", 0, "simple-app.default was promoted."),
        ("False", 2, "simple-app.default was rolled back"),
    ] {
        let machine = laptop();
        run(&machine, &["up", "--on", "minikube"]).success();
        fs::write(machine.path("promoted"), condition).unwrap();
        machine.calls();
        // There is neither a program of this repository nor a cargo to build it.
        let mut release = machine.command(&["release", "1.0.1"]);
        let followed = Output::of(release.env("CARGO_TARGET_DIR", machine.path("nothing")));
        assert_eq!(
            followed.code, code,
            "{}{}",
            followed.stdout, followed.stderr
        );
        assert!(followed.stdout.contains(words), "{}", followed.stdout);
        wait_for_processes_to_end(&machine);
        assert!(changes(&machine).iter().any(|call| {
            call == "kubectl --context minikube set image deployment/simple-app simple-app=simple-app:1.0.1 --namespace default"
        }));
        let refused = run(&machine, &["release", "7.0.0"]);
        assert!(
            refused
                .stderr
                .contains("image simple-app:7.0.0 does not exist; available: 1.0.0 1.0.1"),
            "{}",
            refused.stderr
        );
    }
}

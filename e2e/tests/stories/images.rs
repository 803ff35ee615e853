//! The images of Dockerfile.app and Dockerfile.controller run from an empty read-only root as their user.
//!
//! CI uses the programs that are already built. `./run.sh images --check` builds them with the Dockerfiles' own
//! commands, which takes minutes.

use std::{fs, path::Path, process::Command, time::Duration};

use e2e::{
    Output, http,
    image::{Builder, Context, Image, Source, namespaces_are_allowed},
    program, repository, until,
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
/// Largest size of an image.
const LIMIT: u64 = 15_000_000;

/// Programs built by `./run.sh build`.
fn built() -> Source {
    Source::Programs(program("simple-app").parent().unwrap().to_owned())
}

/// Returns whether images can run on this host. Prints a note if not.
fn can_run() -> bool {
    let allowed = namespaces_are_allowed();
    if !allowed {
        eprintln!("skipped: this host does not allow creating namespaces (unshare --mount)");
    }
    allowed
}

fn answer(url: &str) -> String {
    until(SOON, url, || match http::get(url) {
        Ok(response) if response.status == 200 => Ok(response.body),
        Ok(response) => Err(response.status.to_string()),
        Err(error) => Err(error.to_string()),
    })
}

/// Checks that the app returns the version it was built with, exposes metrics and exits on SIGTERM.
fn check_app(image: &Image) {
    assert_eq!(image.environment["BIND_ADDRESS"], "0.0.0.0");
    let address = image.address().to_string();
    let running = image.start(&[], &[("BIND_ADDRESS", &address)]);
    assert_eq!(answer(&format!("http://{address}:8080/")), "version: 1.0.1");
    let metrics = answer(&format!("http://{address}:8000/metrics"));
    assert!(
        metrics.contains("process_resident_memory_bytes"),
        "{metrics}"
    );
    assert_eq!(running.stop(), Some(0), "it exits on SIGTERM");
}

/// Checks that the load tester serves and resolves host names.
fn check_loadtester(image: &Image) {
    let address = image.address().to_string();
    let environment = [("BIND_ADDRESS", address.as_str()), ("PORT", "8089")];
    let running = image.start(&["serve"], &environment);
    answer(&format!("http://{address}:8089/healthz"));
    let url = "http://image.test:8089/healthz";
    let report = Output::of(&mut image.command(&["hey", "-n", "4", "-c", "2", url], &[])).success();
    assert!(report.contains("[200]\t4 responses"), "{report}");
    assert_eq!(running.stop(), Some(0), "it exits on SIGTERM");
}

/// Checks that the controller prints its definitions and finds the certificates for https.
fn check_controller(image: &Image) {
    let printed = Output::of(&mut image.command(&["crd"], &[])).success();
    let committed =
        fs::read_to_string(repository().join("manifests/controller/crds.yaml")).unwrap();
    assert_eq!(printed, committed);
    let bundle = fs::read_to_string(image.root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 50);
    // It must fail on the connection: without the bundle, creating the client would already fail.
    // Nothing listens on port 1 of the image's own address.
    let server = format!("https://{}:1", image.address());
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
        contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    fs::write(image.root.join("etc/kubeconfig"), kubeconfig).unwrap();
    let status = ["status", "--kubeconfig", "/etc/kubeconfig"];
    let failed = Output::of(&mut image.command(&status, &[]));
    assert!(
        failed.code == 1 && failed.stderr.contains("refused"),
        "{failed:?}"
    );
    fs::remove_file(image.root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    let failed = Output::of(&mut image.command(&status, &[]));
    assert!(failed.stderr.contains("No CA certificates"), "{failed:?}");
}

#[test]
fn the_app_runs_from_an_empty_root_as_its_user() {
    if !can_run() {
        return;
    }
    let root = TempDir::new().unwrap();
    let builder = Builder::new("Dockerfile.app", built(), &[("VERSION", "1.0.1")]);
    check_app(&builder.build(None, root.path()));
}

#[test]
fn controller_and_load_tester_run_from_an_empty_root_as_their_user() {
    if !can_run() {
        return;
    }
    let builder = Builder::new("Dockerfile.controller", built(), &[]);
    let root = TempDir::new().unwrap();
    check_loadtester(&builder.build(Some("loadtester"), root.path()));
    let root = TempDir::new().unwrap();
    check_controller(&builder.build(Some("controller"), root.path()));
}

#[test]
fn the_build_context_contains_every_source_and_little_else() {
    let context = Context::of(repository());
    let files = context.files();
    assert!(files.len() > 200, "{} files", files.len());
    assert!(!context.holds(".git/config") && !context.holds("target/debug/simple-app"));
    let bytes: u64 = files
        .iter()
        .map(|file| fs::metadata(repository().join(file)).unwrap().len())
        .sum();
    assert!(bytes < 10_000_000, "{bytes} bytes");
    // The compiler's dependency files list the sources of each program.
    for name in ["simple-app", "loadtester", "canary-controller"] {
        let list = fs::read_to_string(program(name).with_extension("d")).unwrap();
        let (_, sources) = list.split_once(": ").unwrap();
        let mut seen = 0;
        for source in sources.split_whitespace() {
            let path = Path::new(source).strip_prefix(repository()).unwrap();
            assert!(
                context.holds(path.to_str().unwrap()),
                "{name} is built from {source}, which .dockerignore excludes"
            );
            seen += 1;
        }
        assert!(seen > 10, "{list}");
    }
}

/// Returns whether a program is statically linked.
fn is_static(program: &Path) -> bool {
    let output = Output::of(Command::new("ldd").arg(program));
    let output = output.stdout + &output.stderr;
    output.contains("statically linked") || output.contains("not a dynamic executable")
}

#[test]
#[ignore = "builds releases, which takes minutes: ./run.sh images --check"]
fn the_images_are_built_by_their_own_commands_and_are_small() {
    assert!(can_run());
    let stages = repository().join("target/images");
    let images = [
        ("simple-app", "Dockerfile.app", None),
        (
            "canary-controller",
            "Dockerfile.controller",
            Some("controller"),
        ),
        ("loadtester", "Dockerfile.controller", Some("loadtester")),
    ];
    let mut table = String::from("| image | program | certificates | total |\n|---|---|---|---|\n");
    let app = Builder::new(
        "Dockerfile.app",
        Source::Stages(stages.join("app")),
        &[("VERSION", "1.0.1")],
    );
    let parts = Builder::new(
        "Dockerfile.controller",
        Source::Stages(stages.join("controller")),
        &[],
    );
    for (name, file, stage) in images {
        let root = TempDir::new().unwrap();
        let builder = if file == "Dockerfile.app" {
            &app
        } else {
            &parts
        };
        let image = builder.build(stage, root.path());
        let sizes = |part: &str| -> u64 {
            let parts = image
                .contents
                .iter()
                .filter(|(path, _)| path.contains(part));
            parts.map(|(_, size)| size).sum()
        };
        let (binary, certificates) = (sizes("/bin/"), sizes("/certs/"));
        assert_eq!(
            image.size(),
            binary + certificates,
            "there are no other files"
        );
        table += &format!(
            "| `{name}` | {} | {} | {} |\n",
            megabytes(binary),
            megabytes(certificates),
            megabytes(image.size())
        );
        assert!(image.size() < LIMIT, "{name}: {} bytes", image.size());
        let binary = &image.entrypoint[0];
        assert!(is_static(&root.path().join(binary.trim_start_matches('/'))));
        match name {
            "simple-app" => check_app(&image),
            "loadtester" => check_loadtester(&image),
            _ => check_controller(&image),
        }
    }
    println!("{table}");
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

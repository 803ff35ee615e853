//! The built program, with TLS, a kubeconfig and signals.

use std::{
    net::TcpListener as StdListener,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use controller::cluster::Kind;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use localcluster_apiserver::{
    kubeconfig::{self, Access},
    pki::Authority,
};
use tokio_util::sync::CancellationToken;

use crate::world::{World, canary};

const PROGRAM: &str = env!("CARGO_BIN_EXE_canary-controller");

/// Kills the process at the end of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = tokio::task::spawn_blocking(move || Command::new(PROGRAM).args(args).output());
    output.await.unwrap().unwrap()
}

async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .ok()?;
    Some((response.status().as_u16(), response.text().await.unwrap()))
}

/// Opens the event stream.
async fn watch(address: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let watch = client.get(format!("http://{address}/api/watch"));
    watch.send().await.unwrap()
}

async fn until<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < end, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_leads_shows_the_status_and_shuts_down() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new().await;
    let authority = Authority::generate().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let tls = authority
        .server_config(&["127.0.0.1".parse().unwrap()])
        .unwrap();
    let api_server = world.server.clone();
    tokio::spawn(async move {
        api_server
            .serve(listener, tls, CancellationToken::new())
            .await
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let access = Access {
        server: &server,
        authority_pem: authority.certificate_pem(),
        token: world.server.admin_token(),
        namespace: "default",
    };
    kubeconfig::write(&path, &access).unwrap();
    let kubeconfig = format!("--kubeconfig={}", path.display());

    let port = StdListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = Command::new(PROGRAM)
        // A proxy that does not exist: requests to the API server must bypass it.
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env_remove("NO_PROXY")
        .args([
            kubeconfig.as_str(),
            &format!("-port={port}"),
            "-enable-leader-election=true",
            "-leader-election-namespace=istio-system",
            "-log-level=warn",
        ])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let address = format!("127.0.0.1:{port}");
    until("ready", async || {
        get(&address, "/readyz")
            .await
            .filter(|(status, _)| *status == 200)
    })
    .await;
    assert_eq!(
        get(&address, "/healthz").await,
        Some((200, "OK".to_owned()))
    );

    world.deploy(&canary()).await;
    until("initialized", async || {
        (world.status("simple-app").await["phase"] == "Initialized").then_some(())
    })
    .await;
    let (_, metrics) = get(&address, "/metrics").await.unwrap();
    assert!(
        metrics.contains("flagger_canary_status{name=\"simple-app\",namespace=\"default\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("flagger_canary_total{namespace=\"default\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("canary_controller_leader 1"), "{metrics}");

    let (status, page) = get(&address, "/").await.unwrap();
    assert!(status == 200 && page.contains("simple-app"), "{page}");
    let mut stream = watch(&address).await;
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"retry: "), "{first:?}");

    let shown = run(&["status", "--namespace=default", &kubeconfig]).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("simple-app.default  Initialized") && text.contains("Initialization done!"),
        "{text}"
    );
    let done = run(&["status", "simple-app", "--until-done", &kubeconfig]).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let missing = run(&["status", "nobody", "--until-done", &kubeconfig]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("there is no Canary \"nobody\"")
    );

    let signal = Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let end = tokio::task::spawn_blocking(move || process.0.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(end.code(), Some(0), "an open stream delays the exit");
    while stream.chunk().await.unwrap().is_some() {}
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "istio-system");
    let lease = leases.get(controller::process::lease::NAME).await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
    assert_eq!(
        world.get(Kind::DEPLOYMENT, "simple-app").await["spec"]["replicas"],
        0
    );
}

#[tokio::test]
async fn a_wrong_flag_is_reported_with_the_valid_values() {
    let provider = run(&["--mesh-provider=istoi"]).await;
    assert_eq!(provider.status.code(), Some(1));
    assert!(
        String::from_utf8(provider.stderr)
            .unwrap()
            .contains("use one of: istio")
    );
    let help = String::from_utf8(run(&["--help"]).await.stdout).unwrap();
    assert!(
        help.contains("Examples:") && help.contains("--metrics-server"),
        "{help}"
    );
}

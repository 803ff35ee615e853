//! A server on a socket, as other programs see it.
#![allow(dead_code, unreachable_pub)] // Each test program uses a part.

pub mod objects;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use localcluster_apiserver::{ApiServer, Config, kubeconfig, pki::Authority};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// A served API server with a directory of its own; it ends with this value.
pub struct Served {
    pub server: ApiServer,
    pub directory: TempDir,
    authority: Authority,
    url: String,
    shutdown: CancellationToken,
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Served {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            log_dir: Some(directory.path().join("logs")),
            ..Config::default()
        };
        let server = ApiServer::open(config).await.unwrap();
        let authority = Authority::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = authority.server_config(&[address.ip()]).unwrap();
        let shutdown = CancellationToken::new();
        let (serving, stop) = (server.clone(), shutdown.clone());
        tokio::spawn(async move { serving.serve(listener, tls, stop).await });
        let served = Self {
            server,
            directory,
            authority,
            url: format!("https://{address}"),
            shutdown,
        };
        let access = served.access(served.server.admin_token());
        kubeconfig::write(&served.kubeconfig_path(), &access).unwrap();
        served
    }

    fn kubeconfig_path(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    fn access<'a>(&'a self, token: &'a str) -> kubeconfig::Access<'a> {
        kubeconfig::Access {
            server: &self.url,
            authority_pem: self.authority.certificate_pem(),
            token,
            namespace: "default",
        }
    }

    /// A client that comes over the socket with a token.
    pub async fn client(&self, token: &str) -> Client {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Kubeconfig::from_yaml(&kubeconfig::render(&self.access(token))).unwrap();
        let options = KubeConfigOptions::default();
        Client::try_from(
            kube::Config::from_custom_kubeconfig(config, &options)
                .await
                .unwrap(),
        )
        .unwrap()
    }

    /// Writes a file into the server's directory.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// A kubectl command for this server.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(kubectl_path());
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig_path())
            // Its caches go away with the test.
            .env("HOME", self.directory.path())
            .env_remove("HTTPS_PROXY")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs kubectl to its end.
    pub async fn kubectl(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs kubectl, which must succeed; returns what it printed.
    pub async fn run(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let outcome = self.kubectl(&arguments).await;
        assert!(
            outcome.success,
            "kubectl {}: {outcome:?}",
            arguments.join(" ")
        );
        outcome.stdout
    }

    /// Runs kubectl, which must fail; returns its complaint.
    pub async fn refuse(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let outcome = self.kubectl(&arguments).await;
        assert!(
            !outcome.success,
            "kubectl {}: {outcome:?}",
            arguments.join(" ")
        );
        outcome.stderr
    }

    /// Applies a manifest from standard input.
    pub async fn apply(&self, manifest: &str, arguments: &[&str]) -> Outcome {
        let arguments: Vec<&str> = ["apply", "-f", "-"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let mut child = self
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .await
            .unwrap();
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// kubectl as named by `KUBECTL`, or as found on the `PATH`.
fn kubectl_path() -> PathBuf {
    if let Some(named) = std::env::var_os("KUBECTL").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join("kubectl"))
        .find(|candidate| Path::is_file(candidate))
        .unwrap_or_else(|| {
            panic!("these tests need kubectl: run `./run.sh tools` and set KUBECTL to it")
        })
}

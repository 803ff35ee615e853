//! Serves an API server on loopback and writes a kubeconfig for it:
//! `cargo run --example serve -- DIRECTORY [ADDRESS]`, by default on 127.0.0.1:6443.

use std::net::SocketAddr;
use std::path::PathBuf;

use localcluster_apiserver::{ApiServer, Config, kubeconfig, pki::Authority};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(
        arguments
            .next()
            .ok_or("name a directory for the server's data")?,
    );
    let address: SocketAddr = arguments
        .next()
        .as_deref()
        .unwrap_or("127.0.0.1:6443")
        .parse()?;
    let config = Config {
        data_dir: Some(directory.join("store")),
        log_dir: Some(directory.join("logs")),
        ..Config::default()
    };
    let server = ApiServer::open(config).await?;
    let authority = Authority::open(&directory.join("pki"))?;
    let listener = TcpListener::bind(address).await?;
    let url = format!("https://{}", listener.local_addr()?);
    let access = kubeconfig::Access {
        server: &url,
        authority_pem: authority.certificate_pem(),
        token: server.admin_token(),
        namespace: "default",
    };
    kubeconfig::write(&directory.join("kubeconfig"), &access)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    server
        .serve(
            listener,
            authority.server_config(&[address.ip()])?,
            shutdown,
        )
        .await?;
    Ok(())
}

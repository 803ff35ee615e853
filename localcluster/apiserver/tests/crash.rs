//! What is acknowledged survives the sudden end of the process.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)] // A test may fail.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use localcluster_apiserver::{ApiServer, Config};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Names the directory for the copy of this program that is killed.
const VICTIM: &str = "LOCALCLUSTER_TEST_DATA";

fn config(directory: PathBuf) -> Config {
    Config {
        data_dir: Some(directory),
        ..Config::default()
    }
}

/// In a process of its own: creates objects for ever and prints each name that was acknowledged.
async fn write_for_ever(directory: PathBuf) {
    let server = ApiServer::open(config(directory)).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    for number in 0.. {
        let name = format!("map-{number:06}");
        let object = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
        eprintln!("{name}");
    }
}

#[tokio::test]
async fn acknowledged_objects_survive_a_kill() {
    if let Some(directory) = env::var_os(VICTIM) {
        return write_for_ever(directory.into()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut victim = Command::new(env::current_exe().unwrap())
        .args([
            "acknowledged_objects_survive_a_kill",
            "--exact",
            "--nocapture",
        ])
        .env(VICTIM, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = tokio::process::ChildStderr::from_std(victim.stderr.take().unwrap()).unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 20 {
        acknowledged.push(lines.next_line().await.unwrap().unwrap());
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        acknowledged.push(line);
    }
    let server = ApiServer::open(config(directory.path().to_owned()))
        .await
        .unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let found = api.list(&ListParams::default()).await.unwrap();
    let found: Vec<String> = found
        .items
        .into_iter()
        .filter_map(|map| map.metadata.name)
        .collect();
    // One more may have been written and not yet acknowledged.
    assert!(found.len() - acknowledged.len() <= 1, "{found:?}");
    assert_eq!(found[..acknowledged.len()], acknowledged);
}

//! How one controller does with many canaries, as a table.
//!
//! For each number of canaries: a fresh API server and a controller, each a process of its own, with the rights of
//! `manifests/controller`; all canaries are initialized at once, left alone for a while, and released at once. Pods are
//! not run: this program says that they are ready, as it answers for Prometheus and for the webhooks.
//!
//! ```sh
//! cargo build --release --bins && cargo run --release -p controller --example many -- --canaries 1,100,300
//! ```
//!
//! `late` is how much longer the slowest release took than its steps need. Nothing here decides about pass or fail:
//! the numbers are for comparing two versions on one machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot be made ends with the reason"
)]

mod cluster;
mod process;
mod web;

use std::time::{Duration, Instant};

use clap::Parser;

use crate::{cluster::Cluster, process::Process};

/// Measure one controller with many canaries.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of canaries, one row group each
    #[arg(long, value_delimiter = ',', default_value = "1,100,300")]
    canaries: Vec<usize>,
    /// Seconds between two steps of a release
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Seconds to look at the controller while nothing is released
    #[arg(long, default_value_t = 30)]
    idle: u64,
}

/// What one part of the run cost.
struct Row {
    canaries: usize,
    what: &'static str,
    took: Duration,
    cpu: Duration,
    requests: u64,
    memory: u64,
    late: Option<Duration>,
}

/// Intervals of a release: from the first weight to the other four, to copying, routing and the end.
const STEPS: u32 = 7;

#[tokio::main]
async fn main() {
    let args = Args::parse();
    println!(
        "| canaries | what | took | controller CPU | CPU per canary | API requests | per canary | late | peak memory |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for &canaries in &args.canaries {
        for row in measure(&args, canaries).await {
            print(&row);
        }
    }
}

async fn measure(args: &Args, canaries: usize) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::api_server(folder.path());
    let cluster = Cluster::connect(&server.kubeconfig().await, args.interval).await;
    let kubeconfig = cluster.kubeconfig_of_the_controller(folder.path()).await;
    let controller = Process::controller(&kubeconfig, cluster.prometheus());
    let mut rows = Vec::new();
    let mut part = Part::begin(&cluster, &controller, canaries).await;

    cluster.create(canaries).await;
    cluster.all_in_phase("Initialized", canaries).await;
    rows.push(part.end("initialize", None).await);

    part = Part::begin(&cluster, &controller, canaries).await;
    tokio::time::sleep(Duration::from_secs(args.idle)).await;
    rows.push(part.end("idle", None).await);

    part = Part::begin(&cluster, &controller, canaries).await;
    cluster.release(canaries, "1.0.1").await;
    cluster.all_in_phase("Succeeded", canaries).await;
    let steps = Duration::from_secs(args.interval) * STEPS;
    let late = part.began.elapsed().saturating_sub(steps);
    rows.push(part.end("release", Some(late)).await);
    rows
}

/// A part of the run that is being measured.
struct Part<'a> {
    cluster: &'a Cluster,
    controller: &'a Process,
    canaries: usize,
    began: Instant,
    cpu: Duration,
    requests: u64,
}

impl<'a> Part<'a> {
    async fn begin(cluster: &'a Cluster, controller: &'a Process, canaries: usize) -> Self {
        Self {
            cluster,
            controller,
            canaries,
            began: Instant::now(),
            cpu: controller.cpu(),
            requests: cluster.requests_of_the_controller().await,
        }
    }

    async fn end(&self, what: &'static str, late: Option<Duration>) -> Row {
        Row {
            canaries: self.canaries,
            what,
            took: self.began.elapsed(),
            cpu: self.controller.cpu().saturating_sub(self.cpu),
            requests: self.cluster.requests_of_the_controller().await - self.requests,
            memory: self.controller.peak_memory(),
            late,
        }
    }
}

fn print(row: &Row) {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (canaries, requests) = (row.canaries as f64, row.requests as f64);
    let late = row.late.map_or("-".to_owned(), |late| {
        format!("{:.1} s", late.as_secs_f64())
    });
    println!(
        "| {} | {} | {:.1} s | {:.2} s | {:.1} ms | {} | {:.1} | {late} | {:.1} MB |",
        row.canaries,
        row.what,
        row.took.as_secs_f64(),
        row.cpu.as_secs_f64(),
        row.cpu.as_secs_f64() * 1000.0 / canaries,
        row.requests,
        requests / canaries,
        row.memory as f64 / 1e6,
    );
}

//! Measures one controller with many canaries, and prints a table.
//!
//! For each number of canaries, it starts an API server and a controller with the permissions of `manifests/controller`,
//! each in its own process. All canaries are initialized at once, idle for a while, and are released at once. Pods do not
//! run: this program marks them as ready, and it responds as Prometheus and as the webhooks.
//!
//! ```sh
//! cargo build --release --bins && cargo run --release -p controller --example many -- --canaries 1,100,300
//! ```
//!
//! `late` is the time that the slowest release took beyond the minimum for its steps. There is no pass or fail: the
//! numbers are for comparing two versions on one machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that fails ends with the reason"
)]

mod cluster;
mod process;
mod web;

use std::time::{Duration, Instant};

use clap::Parser;

use crate::{cluster::Cluster, process::Process};

/// Measures one controller with many canaries.
#[derive(Debug, Parser)]
struct Args {
    /// Numbers of canaries, one group of rows each
    #[arg(long, value_delimiter = ',', default_value = "1,100,300")]
    canaries: Vec<usize>,
    /// Analysis interval in seconds
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Duration of the idle part in seconds
    #[arg(long, default_value_t = 30)]
    idle: u64,
}

/// The cost of one part of the run.
struct Row {
    canaries: usize,
    what: &'static str,
    took: Duration,
    cpu: Duration,
    requests: u64,
    memory: u64,
    late: Option<Duration>,
}

/// Intervals of a release: four to reach the last weight, then copying, routing and finalising.
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

/// A part of the run, being measured.
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

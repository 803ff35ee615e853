//! An embedded cluster for one machine, without containers: an alternative to Minikube with Istio and Prometheus.
//!
//! # Layout
//! - [`args`]: the command line
//! - [`state`]: the state directory and its owner
//! - [`block`]: the addresses
//! - [`up`]: all parts in one process
//! - [`alone`]: a single part with any API server
//! - [`parts`]: starts and stops the parts
//! - [`crds`]: applies the CustomResourceDefinitions
//! - [`image`]: the commands of the image store
//! - [`report`]: output for people
//!
//! The parts are separate crates in the folders next to this one.

pub mod alone;
pub mod args;
pub mod block;
pub mod crds;
pub mod image;
pub mod parts;
pub mod report;
pub mod state;
pub mod up;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use args::{Args, Command, StatusArgs};
use state::StateDir;

/// How long a cluster may take to stop before it is killed. Longer than the default grace period of a pod, 30 s.
const STOP_GRACE: Duration = Duration::from_secs(40);
/// Exit code of `status` if no cluster runs.
const NOT_RUNNING: u8 = 3;

/// Runs the command.
///
/// # Errors
/// Those of the command. The message names the object and the next step.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Shim(args) => return shim(&args),
        Command::Image(command) => image::run(command)?,
        Command::Status(args) => return status(&args),
        Command::Stop(args) => {
            let stopped = StateDir::open(&args.state_dir)?.stop(STOP_GRACE)?;
            println!(
                "{}",
                if stopped {
                    "stopped"
                } else {
                    "no cluster was running"
                }
            );
        }
        Command::Up(args) => return parts::in_runtime(up::up(args)),
        Command::Apiserver(args) => return parts::in_runtime(alone::apiserver(args)),
        Command::Controllers(args) => return parts::in_runtime(alone::controllers(args)),
        Command::Kubelet(args) => return parts::in_runtime(alone::kubelet(args)),
        Command::Monitoring(args) => return parts::in_runtime(alone::monitoring(args)),
        Command::Mesh(args) => return parts::in_runtime(alone::mesh(args)),
    }
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let state = StateDir::open(&args.state.state_dir)?;
    let Some(description) = state.description()? else {
        eprintln!("no cluster is ready in {}", state.root().display());
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    let text = match &args.field {
        None => serde_json::to_string_pretty(&description)?,
        Some(name) => description.field(name).with_context(|| {
            format!("unknown field {name}; localcluster status lists all fields")
        })?,
    };
    report::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn shim(args: &args::ShimArgs) -> anyhow::Result<ExitCode> {
    let (program, rest) = args
        .program
        .split_first()
        .context("shim requires a program")?;
    let error = localcluster_shared::process::shim::run(args.parent, program.as_ref(), rest);
    Err(error).with_context(|| format!("cannot execute {}", program.display()))
}

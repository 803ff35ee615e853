//! Compares the load generator with hey, wrk and oha, as far as they are installed: the same server, one after the
//! other, several rounds, medians of the rounds in which the machine was left alone.
//!
//! ```text
//! cargo run --release --example compare
//! cargo run --release --example compare -- --seconds 2 --rounds 3 --connections 50
//! ```
//!
//! Absolute figures are the machine's; ratios are what to look at. A round in which the hypervisor took more than
//! five percent of the CPU is run again, and left out if that happens too often.

mod closed;
mod paced;
mod stall;
mod system;
mod target;
mod tool;

use std::process::ExitCode;

use clap::Parser as _;

/// What to compare.
#[derive(Debug, clap::Parser)]
pub(crate) struct Settings {
    /// Seconds of one sample
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Samples of each tool
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_values_t = [2, 50, 500])]
    connections: Vec<usize>,
    /// Leave out the comparison at full speed
    #[arg(long)]
    no_closed: bool,
    /// Leave out the comparison at a fixed rate
    #[arg(long)]
    no_paced: bool,
    /// Leave out the stopped server
    #[arg(long)]
    no_stall: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // This program is its own load generator and its own server, so that nothing else has to be built.
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("hey") => return loadtester::cli::run(arguments),
        Some(target::MODE) => return target::run(),
        _ => {}
    }
    match compare(&Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(settings: &Settings) -> anyhow::Result<()> {
    let tools = tool::installed()?;
    let names: Vec<_> = tools.iter().map(|tool| tool.name).collect();
    println!(
        "Tools: {}. CPU and memory are those of the tool alone.\n",
        names.join(", ")
    );
    if !settings.no_closed {
        closed::compare(settings, &tools)?;
    }
    if !settings.no_paced {
        paced::compare(settings, &tools)?;
    }
    if !settings.no_stall {
        stall::compare(&tools)?;
    }
    Ok(())
}

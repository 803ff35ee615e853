//! Compares the load generator with hey, wrk and oha, as far as they are on the `PATH`. All tools run one after the other, in
//! several rounds, against the same server. The tables have medians of the undisturbed samples, then the targets. The output
//! is Markdown; progress goes to standard error.
//!
//! ```text
//! cargo build --release -p loadtester && cargo run --release -p loadtester --example compare
//! cargo run --release -p loadtester --example compare -- --only full-speed --connections 50 --rounds 7
//! cargo run --release -p loadtester --example compare -- --only full-speed --server nginx
//! ```
//!
//! Absolute figures depend on the machine, so compare ratios. A sample is disturbed if the hypervisor or other processes took
//! much of the CPU meanwhile. It is repeated, and left out if it is disturbed again and again.

mod bare;
mod closed;
mod nginx;
mod paced;
mod pinned;
mod sampler;
mod small;
mod stall;
mod system;
mod table;
mod target;
mod tool;
mod verdict;

use std::process::ExitCode;

use clap::Parser as _;

use sampler::Sampler;

/// Settings of a comparison.
#[derive(Debug, clap::Parser)]
pub(crate) struct Settings {
    /// Seconds of one sample at full speed
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Samples of each tool
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_values_t = [2, 50, 500])]
    connections: Vec<usize>,
    /// Parts to run (all)
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// The server of the part full-speed
    #[arg(long, value_enum, default_value_t = target::Server::Own)]
    server: target::Server,
    /// Total number of seconds for repeating disturbed samples
    #[arg(long, default_value_t = 90)]
    patience: u64,
    /// A sample is disturbed if the hypervisor takes more than this percentage of the CPU
    #[arg(long, default_value_t = 5.0)]
    max_steal: f64,
    /// A sample is disturbed if other processes take more than this percentage of one core
    #[arg(long, default_value_t = 15.0)]
    max_others: f64,
    /// Keep disturbed samples; then only ratios are meaningful
    #[arg(long)]
    keep_disturbed: bool,
}

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    FullSpeed,
    FixedRate,
    StoppedServer,
    Pinned,
    OneRequest,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // The program is also the load generator and the server, so that nothing else has to be built.
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("hey") => return loadtester::cli::run(arguments),
        Some(target::MODE) => return target::run(),
        Some(bare::MODE) => {
            let words = arguments[2..].iter();
            return bare::run(
                &words
                    .map(|word| word.to_string_lossy().into_owned())
                    .collect::<Vec<_>>(),
            );
        }
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
    let sampler = Sampler::new(settings);
    let names: Vec<_> = tools.iter().map(|tool| tool.name).collect();
    println!(
        "{}. Tools: {}. CPU and memory are those of the tool alone.\n",
        system::describe(),
        names.join(", ")
    );
    let wanted = |part| settings.only.is_empty() || settings.only.contains(&part);
    let mut goals = Vec::new();
    if wanted(Part::FullSpeed) {
        goals.extend(closed::compare(settings, &sampler, &tools)?);
    }
    if wanted(Part::FixedRate) {
        goals.extend(paced::compare(settings, &sampler, &tools)?);
    }
    if wanted(Part::StoppedServer) {
        goals.extend(stall::compare(&sampler, &tools)?);
    }
    if wanted(Part::Pinned) {
        goals.extend(pinned::compare(settings, &sampler, &tools)?);
    }
    if wanted(Part::OneRequest) {
        goals.extend(small::compare(settings, &sampler, &tools)?);
    }
    verdict::print(&goals);
    println!("{}", sampler.summary());
    Ok(())
}

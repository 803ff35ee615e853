//! A server that is stopped for two of ten seconds: what each tool reports as its 99th percentile.
//!
//! By arithmetic a fifth of the requests are due in the stall and wait up to 2 s, evenly, so it is 1.9 s.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::target::Target;
use crate::tool::{self, OURS, Tool};

const RATE: u64 = 2000;
const SECONDS: u64 = 10;
const STOPPED: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(6);

pub(crate) fn compare(tools: &[Tool]) -> anyhow::Result<()> {
    println!(
        "## {RATE}/s for {SECONDS} s, the server stopped for 2 s of them (truth: p99 1.9 s)\n"
    );
    println!("| tool | requests | p99 from sending | p99 from the moment due |\n|---|---|---|---|");
    for tool in tools
        .iter()
        .filter(|tool| [OURS, "hey"].contains(&tool.name))
    {
        let target = Target::start()?;
        let server = i32::try_from(target.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        let Some(command) = tool.at_rate(RATE, SECONDS, &target.url("/")) else {
            continue;
        };
        let mut stopped = false;
        let cost = tool::run(command, |elapsed| {
            if stopped != STOPPED.contains(&elapsed) {
                stopped = !stopped;
                let signal = if stopped { Signal::STOP } else { Signal::CONT };
                // A server that has ended shows in the count.
                let _ = kill_process(server, signal);
            }
        })?;
        let (sending, due) = percentiles(tool, &cost.output)?;
        println!(
            "| {} | {} | {sending} | {due} |",
            tool.name,
            target.take_count()?
        );
    }
    println!();
    Ok(())
}

fn percentiles(tool: &Tool, output: &str) -> anyhow::Result<(String, String)> {
    if tool.name == "hey" {
        let line = output
            .lines()
            .find_map(|line| line.trim().strip_prefix("99% in "));
        let value = line.context("hey printed no percentile")?;
        return Ok((value.replace("secs", "s"), "-".to_owned()));
    }
    let report: serde_json::Value = serde_json::from_str(output)?;
    let value = |latency: &str| {
        let value = report[latency]["percentiles"]["99"].as_f64();
        value
            .map(|value| format!("{value:.4} s"))
            .context("no percentile in the report")
    };
    Ok((value("latency")?, value("latency_from_due")?))
}

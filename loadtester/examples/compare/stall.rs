//! A server that is stopped for two of ten seconds: the 99th percentile in each tool's report.
//!
//! The true value is 1.9 s: a fifth of the requests are due while the server is stopped, and their waiting times are spread evenly
//! up to 2 s.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::sampler::Sampler;
use crate::table::{Table, cell};
use crate::target::Target;
use crate::tool::{self, OURS, Tool};
use crate::verdict::{Goal, Good};

const RATE: u64 = 2000;
const SECONDS: u64 = 10;
const STOPPED: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(6);

struct Sample {
    requests: f64,
    from_sending: f64,
    from_due: Option<f64>,
}

pub(crate) fn compare(sampler: &Sampler, tools: &[Tool]) -> anyhow::Result<Vec<Goal>> {
    println!(
        "### {RATE}/s for {SECONDS} s, the server stopped for 2 s of them (truth: p99 1.9 s)\n"
    );
    let mut table = Table::new([
        "tool",
        "requests",
        "p99 from sending, s",
        "p99 from the moment due, s",
    ]);
    let mut goals = Vec::new();
    for tool in tools
        .iter()
        .filter(|tool| [OURS, "hey"].contains(&tool.name))
    {
        eprintln!("stopped server: {}", tool.name);
        let target = Target::start()?;
        let Some(words) = tool.at_rate(RATE, SECONDS, &target.url("/")) else {
            continue;
        };
        let sample = sampler.sample(&target, || sample(tool, &words, &target))?;
        let due = sample.as_ref().and_then(|sample| sample.from_due);
        table.row([
            tool::emphasised(tool.name),
            cell(sample.as_ref().map(|sample| sample.requests), 0),
            cell(sample.as_ref().map(|sample| sample.from_sending), 4),
            cell(due, 4),
        ]);
        if tool.name == OURS {
            goals.push(Goal {
                figure: "p99 from the moment due, server stopped for 2 s, s".to_owned(),
                good: Good::Near(0.02),
                target: 1.9,
                stretch: None,
                digits: 3,
                found: due,
            });
        }
    }
    table.print();
    Ok(goals)
}

fn sample(tool: &Tool, words: &tool::Words, target: &Target) -> anyhow::Result<Sample> {
    let server = i32::try_from(target.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("no process id")?;
    target.take_count()?;
    let mut stopped = false;
    let cost = tool::run(words, |elapsed| {
        if stopped != STOPPED.contains(&elapsed) {
            stopped = !stopped;
            let signal = if stopped { Signal::STOP } else { Signal::CONT };
            // If the server has ended, the count is wrong and shows it.
            let _ = kill_process(server, signal);
        }
    })?;
    let (from_sending, from_due) = percentiles(tool, &cost.output)?;
    Ok(Sample {
        requests: target.take_count()? as f64,
        from_sending,
        from_due,
    })
}

/// The 99th percentiles in a tool's report, in seconds; hey has only one.
fn percentiles(tool: &Tool, output: &str) -> anyhow::Result<(f64, Option<f64>)> {
    if tool.name == "hey" {
        let value = output
            .lines()
            .find_map(|line| line.trim().strip_prefix("99% in ")?.strip_suffix(" secs"));
        return Ok((value.context("hey printed no percentile")?.parse()?, None));
    }
    let report: serde_json::Value = serde_json::from_str(output)?;
    let value = |latency: &str| {
        let value = report[latency]["percentiles"]["99"].as_f64();
        value.context("no percentile in the report")
    };
    Ok((value("latency")?, Some(value("latency_from_due")?)))
}

//! Server and tool on one core each: the tool's own share of the 99th percentile.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Settings;
use crate::sampler::{Rounds, Sampler, middle};
use crate::table::{Table, cell};
use crate::target::Target;
use crate::tool::{self, OURS, Tool, Words};
use crate::verdict::{Goal, Good};

const CONNECTIONS: usize = 50;

struct Sample {
    /// From the tool's report, in milliseconds.
    p99: f64,
    rate: f64,
}

pub(crate) fn compare(
    settings: &Settings,
    sampler: &Sampler,
    tools: &[Tool],
) -> anyhow::Result<Vec<Goal>> {
    println!("### Server and tool on one core each, {CONNECTIONS} connections\n");
    let Some((server_core, tool_core)) = two_cores()? else {
        println!("Left out: this machine has one core.\n");
        return Ok(Vec::new());
    };
    let target = on_core(server_core, Target::start)??;
    let tools: Vec<&Tool> = tools
        .iter()
        .filter(|tool| [OURS, "wrk"].contains(&tool.name))
        .collect();
    let mut samples: Vec<Rounds<Sample>> = tools.iter().map(|_| Vec::new()).collect();
    for round in 1..=settings.rounds {
        for (tool, samples) in tools.iter().zip(&mut samples) {
            eprintln!("pinned, round {round}: {}", tool.name);
            let words = tool.at_full_speed(CONNECTIONS, settings.seconds, &target.url("/"));
            let sample = || sample(tool, &words, settings.seconds, tool_core, &target);
            samples.push(sampler.sample(&target, sample)?);
        }
    }
    let mut table = Table::new(["tool", "req/s", "p99 reported, ms", "samples"]);
    let mut goals = Vec::new();
    for (tool, rounds) in tools.iter().zip(&samples) {
        let p99 = middle(rounds, |s| s.p99);
        table.row([
            tool::emphasised(tool.name),
            cell(middle(rounds, |s| s.rate), 0),
            cell(p99, 2),
            rounds.iter().flatten().count().to_string(),
        ]);
        if tool.name == OURS {
            goals.push(Goal {
                figure: "p99 on its own core, 50 connections, ms".to_owned(),
                good: Good::AtMost,
                target: 1.0,
                stretch: Some(0.7),
                digits: 2,
                found: p99,
            });
        }
    }
    table.print();
    Ok(goals)
}

fn sample(
    tool: &Tool,
    words: &Words,
    seconds: u64,
    core: usize,
    target: &Target,
) -> anyhow::Result<Sample> {
    target.take_count()?;
    let start = |words: &Words| on_core(core, || tool::start(words))?;
    let cost = tool::run_from(words, tool::POLL_EVERY, start, |_| {})?;
    let p99 = if tool.name == OURS {
        let report: serde_json::Value = serde_json::from_str(&cost.output)?;
        report["latency"]["percentiles"]["99"]
            .as_f64()
            .map(|seconds| seconds * 1e3)
    } else {
        wrk_p99(&cost.output)
    };
    Ok(Sample {
        p99: p99.with_context(|| format!("{} reported no percentile", tool.name))?,
        rate: target.take_count()? as f64 / seconds as f64,
    })
}

/// The value of wrk's line `99%    1.24ms`, in milliseconds.
fn wrk_p99(report: &str) -> Option<f64> {
    let line = report.lines().map(str::trim);
    let value = line
        .filter_map(|line| line.strip_prefix("99%"))
        .next()?
        .trim();
    let (number, scale) = match value {
        v if v.ends_with("us") => (v.strip_suffix("us")?, 1e-3),
        v if v.ends_with("ms") => (v.strip_suffix("ms")?, 1.0),
        v => (v.strip_suffix('s')?, 1e3),
    };
    Some(number.parse::<f64>().ok()? * scale)
}

/// The first two cores that this process may use.
fn two_cores() -> anyhow::Result<Option<(usize, usize)>> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    Ok(cores.next().zip(cores.next()))
}

/// Runs `action` on one core; processes that it starts stay on that core.
fn on_core<T>(core: usize, action: impl FnOnce() -> T) -> anyhow::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let result = action();
    sched_setaffinity(None, &before)?;
    Ok(result)
}

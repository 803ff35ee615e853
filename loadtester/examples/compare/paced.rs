//! A fixed rate: number of requests and evenness of their arrival, measured in the server.

use crate::Settings;
use crate::sampler::{Rounds, Sampler, middle};
use crate::table::{Table, cell};
use crate::target::Target;
use crate::tool::{self, OURS, Tool};
use crate::verdict::{Goal, Good};

const RATE: u64 = 2000;
const SECONDS: u64 = 10;
const REQUESTS: f64 = (RATE * SECONDS) as f64;

struct Sample {
    requests: f64,
    /// Standard deviation of the gaps between requests from the ideal one, in microseconds.
    deviation: f64,
    /// Share of the gaps below a fifth of the ideal one.
    bunched: f64,
    /// CPU time over run time.
    cpu_share: f64,
    /// Median latency from the moment due, in milliseconds, from the tool's own report.
    median_from_due: Option<f64>,
}

pub(crate) fn compare(
    settings: &Settings,
    sampler: &Sampler,
    tools: &[Tool],
) -> anyhow::Result<Vec<Goal>> {
    println!("### {RATE}/s on two connections for {SECONDS} s, measured in the server\n");
    let target = Target::start()?;
    let command = |tool: &Tool| tool.at_rate(RATE, SECONDS, &target.url("/stamped"));
    let bare_loop = Tool::bare_loop()?;
    let all = tools.iter().chain([&bare_loop]);
    let paced: Vec<&Tool> = all.filter(|t| command(t).is_some()).collect();
    let mut samples: Vec<Rounds<Sample>> = paced.iter().map(|_| Vec::new()).collect();
    for round in 1..=settings.rounds {
        for (tool, samples) in paced.iter().zip(&mut samples) {
            eprintln!("fixed rate, round {round}: {}", tool.name);
            let Some(command) = command(tool) else {
                continue;
            };
            let sample = || sample(tool, &command, &target);
            samples.push(sampler.sample(&target, sample)?);
        }
    }
    let mut table = Table::new([
        "tool",
        "requests of 20,000 in each round",
        "sd of gaps, us",
        "gaps under a fifth of the ideal, %",
        "CPU, % of a core",
    ]);
    let mut goals = Vec::new();
    for (tool, rounds) in paced.iter().zip(&samples) {
        let counts: Vec<_> = rounds.iter().flatten().map(|s| s.requests).collect();
        let written: Vec<_> = counts.iter().map(f64::to_string).collect();
        let (deviation, bunched, cpu) = (
            middle(rounds, |s| s.deviation),
            middle(rounds, |s| s.bunched * 100.0),
            middle(rounds, |s| s.cpu_share * 100.0),
        );
        table.row([
            tool::emphasised(tool.name),
            written.join(" "),
            cell(deviation, 0),
            cell(bunched, 1),
            cell(cpu, 1),
        ]);
        if tool.name == OURS {
            let goal = |figure: &str, target, stretch, found| Goal {
                figure: format!("{figure} at {RATE}/s"),
                good: Good::AtMost,
                target,
                stretch: Some(stretch),
                digits: 2,
                found,
            };
            let off = counts.iter().map(|count| (count - REQUESTS).abs());
            let from_due = rounds.iter().flatten().filter_map(|s| s.median_from_due);
            goals = vec![
                goal(
                    "requests too many or too few in any round",
                    2.0,
                    0.0,
                    off.reduce(f64::max),
                ),
                goal("sd of gaps, us,", 150.0, 50.0, deviation),
                goal("gaps under a fifth of the ideal, %,", 10.0, 1.0, bunched),
                goal("CPU, % of a core,", 6.0, 4.0, cpu),
                goal(
                    "median from the moment due, ms,",
                    0.15,
                    0.08,
                    crate::system::median(from_due),
                ),
            ];
        }
    }
    table.print();
    Ok(goals)
}

fn sample(tool: &Tool, command: &tool::Words, target: &Target) -> anyhow::Result<Sample> {
    target.take_stamps()?;
    let cost = tool::run(command, |_| {})?;
    let mut stamps = target.take_stamps()?;
    stamps.sort_unstable();
    let ideal = 1e6 / RATE as f64;
    let gaps: Vec<f64> = stamps
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64 / 1e3)
        .collect();
    let count = gaps.len().max(1) as f64;
    let variance = gaps.iter().map(|gap| (gap - ideal).powi(2)).sum::<f64>() / count;
    let median_from_due = if tool.name == OURS {
        let report: serde_json::Value = serde_json::from_str(&cost.output)?;
        let seconds = report["latency_from_due"]["percentiles"]["50"].as_f64();
        seconds.map(|seconds| seconds * 1e3)
    } else {
        None
    };
    Ok(Sample {
        requests: stamps.len() as f64,
        deviation: variance.sqrt(),
        bunched: gaps.iter().filter(|gap| **gap < ideal / 5.0).count() as f64 / count,
        cpu_share: cost.cpu.total().as_secs_f64() / SECONDS as f64,
        median_from_due,
    })
}

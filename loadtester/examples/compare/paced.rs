//! At a fixed rate: how many requests came, and how evenly, as the server saw it.

use crate::Settings;
use crate::system::median;
use crate::target::Target;
use crate::tool::{self, Tool};

const RATE: u64 = 2000;
const SECONDS: u64 = 10;

struct Sample {
    requests: f64,
    deviation: f64,
    bunched: f64,
    cpu_share: f64,
}

pub(crate) fn compare(settings: &Settings, tools: &[Tool]) -> anyhow::Result<()> {
    println!("## {RATE}/s on two connections for {SECONDS} s, as the server saw it\n");
    println!(
        "| tool | requests of {} in each round | sd of gaps, us (ideal 0) | gaps under a fifth of the ideal | \
         CPU, % of a core |\n|---|---|---|---|---|",
        RATE * SECONDS
    );
    let target = Target::start()?;
    let mut samples: Vec<Vec<Sample>> = tools.iter().map(|_| Vec::new()).collect();
    for _ in 0..settings.rounds {
        for (tool, samples) in tools.iter().zip(&mut samples) {
            let command = || tool.at_rate(RATE, SECONDS, &target.url("/stamped"));
            if command().is_some() {
                samples.extend(tool::undisturbed(|| sample(command(), &target))?.flatten());
            }
        }
    }
    for (tool, samples) in tools
        .iter()
        .zip(&samples)
        .filter(|(_, samples)| !samples.is_empty())
    {
        let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        let counts: Vec<_> = samples
            .iter()
            .map(|sample| sample.requests.to_string())
            .collect();
        println!(
            "| {} | {} | {:.0} | {:.0} % | {:.1} |",
            tool.name,
            counts.join(" "),
            middle(|s| s.deviation),
            middle(|s| s.bunched * 100.0),
            middle(|s| s.cpu_share * 100.0),
        );
    }
    println!();
    Ok(())
}

fn sample(
    command: Option<std::process::Command>,
    target: &Target,
) -> anyhow::Result<Option<Sample>> {
    let Some(command) = command else {
        return Ok(None);
    };
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
    Ok(Some(Sample {
        requests: stamps.len() as f64,
        deviation: variance.sqrt(),
        bunched: gaps.iter().filter(|gap| **gap < ideal / 5.0).count() as f64 / count,
        cpu_share: cost.cpu.as_secs_f64() / SECONDS as f64,
    }))
}

//! At full speed: requests per second, CPU per request, memory.

use crate::Settings;
use crate::system::median;
use crate::target::Target;
use crate::tool::{self, OURS, Tool};

struct Sample {
    rate: f64,
    cpu_per_million: f64,
    memory: f64,
}

/// One figure of a sample.
type Figure = fn(&Sample) -> f64;

pub(crate) fn compare(settings: &Settings, tools: &[Tool]) -> anyhow::Result<()> {
    println!(
        "## Full speed, {} s a sample, medians of up to {}\n",
        settings.seconds, settings.rounds
    );
    println!(
        "| connections | tool | req/s | CPU s per million | peak MB | req/s vs wrk | CPU vs wrk | req/s vs hey \
         | CPU vs hey | samples |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let target = Target::start()?;
    for connections in &settings.connections {
        let mut samples: Vec<Vec<Sample>> = tools.iter().map(|_| Vec::new()).collect();
        for _ in 0..settings.rounds {
            for (tool, samples) in tools.iter().zip(&mut samples) {
                let sample = || sample(tool, *connections, settings.seconds, &target);
                samples.extend(tool::undisturbed(sample)?);
            }
        }
        print_rows(*connections, tools, &samples);
    }
    println!();
    Ok(())
}

fn sample(
    tool: &Tool,
    connections: usize,
    seconds: u64,
    target: &Target,
) -> anyhow::Result<Sample> {
    target.take_count()?;
    let command = tool.at_full_speed(connections, seconds, &target.url("/"));
    let cost = tool::run(command, |_| {})?;
    let requests = target.take_count()? as f64;
    Ok(Sample {
        rate: requests / seconds as f64,
        cpu_per_million: cost.cpu.as_secs_f64() / requests * 1e6,
        memory: cost.memory as f64 / 1e6,
    })
}

fn print_rows(connections: usize, tools: &[Tool], samples: &[Vec<Sample>]) {
    let middle = |name: &str, figure: Figure| {
        let at = tools.iter().position(|tool| tool.name == name)?;
        (!samples[at].is_empty()).then(|| median(samples[at].iter().map(figure).collect()))
    };
    let ratio =
        |name: &str, to: &str, figure: Figure| match (middle(name, figure), middle(to, figure)) {
            (Some(value), Some(other)) => format!("{:.2}", value / other),
            _ => "-".to_owned(),
        };
    let (rate, cpu): (Figure, Figure) = (|s| s.rate, |s| s.cpu_per_million);
    for (tool, samples) in tools.iter().zip(samples) {
        let name = tool.name;
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(
                || "too much steal".to_owned(),
                |value| format!("{value:.digits$}"),
            )
        };
        let bold = if name == OURS { "**" } else { "" };
        println!(
            "| {connections} | {bold}{name}{bold} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown(middle(name, rate), 0),
            shown(middle(name, cpu), 1),
            shown(middle(name, |s| s.memory), 1),
            ratio(name, "wrk", rate),
            ratio(name, "wrk", cpu),
            ratio(name, "hey", rate),
            ratio(name, "hey", cpu),
            samples.len(),
        );
    }
}

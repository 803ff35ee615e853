//! At full speed: requests per second, CPU per request, memory.

use crate::Settings;
use crate::sampler::{Rounds, Sampler, middle, ratio};
use crate::table::{Table, cell};
use crate::target::{Server, Target};
use crate::tool::{self, OURS, Tool};
use crate::verdict::{Goal, Good};

struct Sample {
    rate: f64,
    cpu_per_million: f64,
    /// The part outside the kernel.
    own_per_million: f64,
    memory: f64,
}

/// One figure of a sample.
type Figure = fn(&Sample) -> f64;
const RATE: Figure = |sample| sample.rate;
const CPU: Figure = |sample| sample.cpu_per_million;
const OWN_CPU: Figure = |sample| sample.own_per_million;
const MEMORY: Figure = |sample| sample.memory;

pub(crate) fn compare(
    settings: &Settings,
    sampler: &Sampler,
    tools: &[Tool],
) -> anyhow::Result<Vec<Goal>> {
    println!(
        "### Full speed{}, {} s a sample, {} rounds\n",
        match settings.server {
            Server::Own => "",
            Server::Nginx => " against nginx with one worker",
        },
        settings.seconds,
        settings.rounds
    );
    let mut table = Table::new([
        "tool",
        "connections",
        "req/s",
        "CPU s per million",
        "outside the kernel",
        "peak MB",
        "req/s vs wrk",
        "CPU vs wrk",
        "req/s vs hey",
        "CPU vs hey",
        "samples",
    ]);
    let target = Target::start_server(settings.server)?;
    let mut goals = Vec::new();
    for connections in &settings.connections {
        let mut samples: Vec<Rounds<Sample>> = tools.iter().map(|_| Vec::new()).collect();
        for round in 1..=settings.rounds {
            for (tool, samples) in tools.iter().zip(&mut samples) {
                eprintln!(
                    "full speed, {connections} connections, round {round}: {}",
                    tool.name
                );
                let sample = || sample(tool, *connections, settings.seconds, &target);
                samples.push(sampler.sample(&target, sample)?);
            }
        }
        let all = Samples {
            tools,
            samples: &samples,
        };
        all.add_rows(*connections, &mut table);
        goals.extend(all.goals(*connections));
    }
    table.print();
    Ok(goals)
}

fn sample(
    tool: &Tool,
    connections: usize,
    seconds: u64,
    target: &Target,
) -> anyhow::Result<Sample> {
    target.take_count()?;
    let command = tool.at_full_speed(connections, seconds, &target.url("/"));
    let cost = tool::run(&command, |_| {})?;
    let requests = target.take_count()? as f64;
    Ok(Sample {
        rate: requests / seconds as f64,
        cpu_per_million: cost.cpu.total().as_secs_f64() / requests * 1e6,
        own_per_million: cost.cpu.own.as_secs_f64() / requests * 1e6,
        memory: cost.memory as f64 / 1e6,
    })
}

/// The samples of all tools at one number of connections.
struct Samples<'a> {
    tools: &'a [Tool],
    samples: &'a [Rounds<Sample>],
}

impl Samples<'_> {
    fn of(&self, name: &str) -> Option<&Rounds<Sample>> {
        let at = self.tools.iter().position(|tool| tool.name == name)?;
        Some(&self.samples[at])
    }

    fn ratio(&self, name: &str, to: &str, figure: Figure) -> Option<f64> {
        ratio(self.of(name)?, self.of(to)?, figure)
    }

    fn add_rows(&self, connections: usize, table: &mut Table) {
        for (tool, rounds) in self.tools.iter().zip(self.samples) {
            let name = tool.name;
            table.row([
                tool::emphasised(name),
                connections.to_string(),
                cell(middle(rounds, RATE), 0),
                cell(middle(rounds, CPU), 1),
                cell(middle(rounds, OWN_CPU), 1),
                cell(middle(rounds, MEMORY), 1),
                cell(self.ratio(name, "wrk", RATE), 2),
                cell(self.ratio(name, "wrk", CPU), 2),
                cell(self.ratio(name, "hey", RATE), 2),
                cell(self.ratio(name, "hey", CPU), 2),
                rounds.iter().flatten().count().to_string(),
            ]);
        }
    }

    /// The goals for this number of connections.
    fn goals(&self, connections: usize) -> Vec<Goal> {
        let at = format!("at {connections} connections");
        let goal = |figure: &str, good, target, stretch, found| Goal {
            figure: format!("{figure} {at}"),
            good,
            target,
            stretch,
            digits: 2,
            found,
        };
        let ours = |to, figure| self.ratio(OURS, to, figure);
        let memory = self.of(OURS).and_then(|rounds| middle(rounds, MEMORY));
        let cpu_vs_wrk = goal(
            "CPU per request over wrk's",
            Good::AtMost,
            1.2,
            Some(1.0),
            ours("wrk", CPU),
        );
        let rate_vs_wrk = goal(
            "requests/s over wrk's",
            Good::AtLeast,
            0.95,
            Some(1.0),
            ours("wrk", RATE),
        );
        match connections {
            2 => vec![
                cpu_vs_wrk,
                goal(
                    "requests/s over oha's",
                    Good::AtLeast,
                    1.0,
                    None,
                    ours("oha", RATE),
                ),
            ],
            50 => vec![
                cpu_vs_wrk,
                goal(
                    "CPU per request over hey's",
                    Good::AtMost,
                    0.25,
                    None,
                    ours("hey", CPU),
                ),
                rate_vs_wrk,
                goal(
                    "requests/s over hey's",
                    Good::AtLeast,
                    3.5,
                    None,
                    ours("hey", RATE),
                ),
                goal("peak memory, MB,", Good::AtMost, 12.0, Some(8.0), memory),
            ],
            500 => vec![
                cpu_vs_wrk,
                rate_vs_wrk,
                goal("peak memory, MB,", Good::AtMost, 25.0, Some(15.0), memory),
            ],
            _ => Vec::new(),
        }
    }
}

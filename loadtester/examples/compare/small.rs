//! One request, and very many: start-up time, memory and size of the program.

use anyhow::Context as _;

use crate::Settings;
use crate::sampler::{Rounds, Sampler, middle};
use crate::table::{Table, cell};
use crate::target::Target;
use crate::tool::{self, OURS, Tool};
use crate::verdict::{Goal, Good};

/// Runs in one sample.
const REPEATED: u32 = 10;
const FEW: u64 = 100_000;
const MANY: u64 = 1_100_000;

struct Sample {
    /// Wall time of one run, in milliseconds.
    wall: f64,
    /// Peak memory, in MB.
    memory: f64,
}

pub(crate) fn compare(
    settings: &Settings,
    sampler: &Sampler,
    tools: &[Tool],
) -> anyhow::Result<Vec<Goal>> {
    println!("### One request\n");
    let target = Target::start()?;
    let mut table = Table::new(["tool", "wall time, ms", "peak MB"]);
    let mut goals = Vec::new();
    let program = Tool::program();
    for tool in tools {
        let tool = match &program {
            Some((program, _)) if tool.name == OURS => program,
            _ => tool,
        };
        let Some(words) = tool.for_requests(1, 1, &target.url("/")) else {
            continue;
        };
        let mut rounds: Rounds<Sample> = Vec::new();
        for round in 1..=settings.rounds {
            eprintln!("one request, round {round}: {}", tool.name);
            rounds.push(sampler.sample(&target, || sample(&words))?);
        }
        let (wall, memory) = (middle(&rounds, |s| s.wall), middle(&rounds, |s| s.memory));
        table.row([tool::emphasised(tool.name), cell(wall, 1), cell(memory, 1)]);
        if tool.name == OURS {
            goals.push(goal("one request: wall time, ms", 5.0, None, wall));
            goals.push(goal("one request: peak memory, MB", 6.0, None, memory));
        }
    }
    table.print();
    goals.push(goal(
        "size of the program, MB",
        5.0,
        None,
        program.as_ref().map(|(_, bytes)| *bytes as f64 / 1e6),
    ));
    goals.push(goal(
        "memory grown from 100,000 requests to 1,100,000, MB",
        1.0,
        Some(0.1),
        growth(tools, &target)?,
    ));
    Ok(goals)
}

fn goal(figure: &str, target: f64, stretch: Option<f64>, found: Option<f64>) -> Goal {
    Goal {
        figure: figure.to_owned(),
        good: Good::AtMost,
        target,
        stretch,
        digits: 1,
        found,
    }
}

fn sample(words: &tool::Words) -> anyhow::Result<Sample> {
    let (mut wall, mut memory) = (0.0, 0.0_f64);
    for _ in 0..REPEATED {
        let cost = tool::run_short(words)?;
        wall += cost.wall.as_secs_f64() * 1e3;
        memory = memory.max(cost.memory as f64 / 1e6);
    }
    Ok(Sample {
        wall: wall / f64::from(REPEATED),
        memory,
    })
}

fn growth(tools: &[Tool], target: &Target) -> anyhow::Result<Option<f64>> {
    let ours = tools.iter().find(|tool| tool.name == OURS);
    let ours = ours.context("this program is not among the tools")?;
    let peak = |requests: u64| -> anyhow::Result<f64> {
        eprintln!("memory over {requests} requests");
        let words = ours.for_requests(requests, 50, &target.url("/"));
        let cost = tool::run(&words.context("no such command")?, |_| {})?;
        Ok(cost.memory as f64 / 1e6)
    };
    Ok(Some((peak(MANY)? - peak(FEW)?).max(0.0)))
}

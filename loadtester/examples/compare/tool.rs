//! The tools: how each is told what to do, and one sample of it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::system::{MachineTime, children_cpu, peak_memory};

/// Name of our own generator in the tables.
pub(crate) const OURS: &str = "loadtester";
/// Share of the machine taken by the hypervisor past which a sample says nothing.
const TOO_MUCH_STEAL: f64 = 0.05;
/// How often such a sample is taken again.
const TRIES: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    program: PathBuf,
}

/// What one run cost.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
    pub(crate) output: String,
}

/// Ours, and those of the others that are on the `PATH`.
pub(crate) fn installed() -> anyhow::Result<Vec<Tool>> {
    let mut tools = vec![Tool {
        name: OURS,
        program: std::env::current_exe()?,
    }];
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in ["hey", "wrk", "oha"] {
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|f| f.is_file());
        tools.extend(found.map(|program| Tool { name, program }));
    }
    Ok(tools)
}

impl Tool {
    /// The command for full speed, which wrk needs two threads for at two connections.
    pub(crate) fn at_full_speed(&self, connections: usize, seconds: u64, url: &str) -> Command {
        let (connections, seconds) = (connections.to_string(), format!("{seconds}s"));
        let threads = if connections == "2" { "2" } else { "1" };
        let mut command = Command::new(&self.program);
        match self.name {
            "wrk" => command.args(["-t", threads, "-c", &connections, "-d", &seconds, url]),
            "oha" => command.args(["--no-tui", "-z", &seconds, "-c", &connections, url]),
            "hey" => command.args(["-z", &seconds, "-c", &connections, url]),
            _ => command.args(["hey", "-z", &seconds, "-c", &connections, url]),
        };
        command
    }

    /// The command for a rate on two connections, for the tools that have one.
    pub(crate) fn at_rate(&self, rate: u64, seconds: u64, url: &str) -> Option<Command> {
        let seconds = format!("{seconds}s");
        let (each, total) = ((rate / 2).to_string(), rate.to_string());
        let mut command = Command::new(&self.program);
        match self.name {
            "wrk" => return None,
            "oha" => command.args(["--no-tui", "-z", &seconds, "-q", &total, "-c", "2", url]),
            "hey" => command.args(["-z", &seconds, "-q", &each, "-c", "2", url]),
            _ => command.args(["hey", "--json", "-z", &seconds, "-q", &each, "-c", "2", url]),
        };
        Some(command)
    }
}

/// Runs a command to its end. `meanwhile` is called every few milliseconds with the time since the start.
pub(crate) fn run(
    mut command: Command,
    mut meanwhile: impl FnMut(Duration),
) -> anyhow::Result<Cost> {
    let before = children_cpu()?;
    let started = std::time::Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    // The reports are shorter than a pipe's buffer, so they can wait there.
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak_memory(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        meanwhile(started.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "{command:?} ended with {status}");
    let output = std::io::read_to_string(child.stdout.take().context("no output")?)?;
    Ok(Cost {
        cpu: children_cpu()? - before,
        memory,
        output,
    })
}

/// Takes a sample until the machine was left alone meanwhile; none after several tries.
pub(crate) fn undisturbed<T>(
    mut sample: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    for _ in 0..TRIES {
        let before = MachineTime::now()?;
        let taken = sample()?;
        if before.stolen_since()? <= TOO_MUCH_STEAL {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

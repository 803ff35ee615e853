//! The tools: the command line of each, and one run of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::bare::{self, HEADERS};
use crate::system::{Cpu, children_cpu, peak_memory};

/// Name of our own generator in the tables.
pub(crate) const OURS: &str = "loadtester";
const BARE_LOOP: &str = "bare loop";
/// Time between two polls of a running tool.
pub(crate) const POLL_EVERY: Duration = Duration::from_millis(20);
/// The same for a run that takes milliseconds.
const POLL_OFTEN: Duration = Duration::from_micros(200);

#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    program: PathBuf,
}

/// A program with its arguments.
pub(crate) type Words = Vec<OsString>;

/// Cost of one run.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Cpu,
    pub(crate) wall: Duration,
    /// Peak memory, in bytes.
    pub(crate) memory: u64,
    pub(crate) output: String,
}

/// This program, and the others as far as they are on the `PATH` or in `.local/bin`.
pub(crate) fn installed() -> anyhow::Result<Vec<Tool>> {
    let mut tools = vec![Tool {
        name: OURS,
        program: std::env::current_exe()?,
    }];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push(".local/bin".into());
    for name in ["wrk", "oha", "hey"] {
        let mut files = folders.iter().map(|folder| folder.join(name));
        let found = files.find(|file| file.is_file());
        tools.extend(found.map(|program| Tool { name, program }));
    }
    Ok(tools)
}

/// The name for the tables, with this program in bold.
pub(crate) fn emphasised(name: &str) -> String {
    if name == OURS {
        format!("**{name}**")
    } else {
        name.to_owned()
    }
}

impl Tool {
    /// The load generator as installed, without the comparison in it, and its size. Once built it is in the parent of this example's
    /// folder.
    pub(crate) fn program() -> Option<(Self, u64)> {
        let folder = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
        let program = folder.join("loadtester");
        let size = std::fs::metadata(&program).ok()?.len();
        Some((
            Self {
                name: OURS,
                program,
            },
            size,
        ))
    }

    /// The bare loop as a tool.
    pub(crate) fn bare_loop() -> anyhow::Result<Self> {
        Ok(Self {
            name: BARE_LOOP,
            program: std::env::current_exe()?,
        })
    }

    /// Full speed. wrk gets the headers of the others and its best number of threads: two at two connections, otherwise one.
    pub(crate) fn at_full_speed(&self, connections: usize, seconds: u64, url: &str) -> Words {
        let (connections, seconds) = (connections.to_string(), format!("{seconds}s"));
        let threads = if connections == "2" { "2" } else { "1" };
        match self.name {
            "wrk" => {
                let mut words = self.words(&["--latency", "-t", threads]);
                // Without headers, its requests cost the server a tenth less than those of the others.
                let headers = HEADERS.iter().flat_map(|header| ["-H", header]);
                words.extend(headers.map(OsString::from));
                let rest = ["-c", &connections, "-d", &seconds, url];
                words.extend(rest.iter().map(OsString::from));
                words
            }
            "oha" => self.words(&["--no-tui", "-z", &seconds, "-c", &connections, url]),
            "hey" => self.words(&["-z", &seconds, "-c", &connections, url]),
            _ => self.words(&["hey", "--json", "-z", &seconds, "-c", &connections, url]),
        }
    }

    /// A rate on two connections, for the tools that have rates.
    pub(crate) fn at_rate(&self, rate: u64, seconds: u64, url: &str) -> Option<Words> {
        let seconds = format!("{seconds}s");
        let (each, total) = ((rate / 2).to_string(), rate.to_string());
        Some(match self.name {
            "wrk" => return None,
            "oha" => self.words(&["--no-tui", "-z", &seconds, "-q", &total, "-c", "2", url]),
            "hey" => self.words(&["-z", &seconds, "-q", &each, "-c", "2", url]),
            BARE_LOOP => self.words(&[bare::MODE, &total, seconds.trim_end_matches('s'), url]),
            _ => self.words(&["hey", "--json", "-z", &seconds, "-q", &each, "-c", "2", url]),
        })
    }

    /// A number of requests, for the tools that count them.
    pub(crate) fn for_requests(
        &self,
        requests: u64,
        connections: usize,
        url: &str,
    ) -> Option<Words> {
        let (requests, connections) = (requests.to_string(), connections.to_string());
        let flags = ["-n", &requests, "-c", &connections, url];
        Some(match self.name {
            "wrk" => return None,
            "oha" => self.words(&[&["--no-tui"], &flags[..]].concat()),
            "hey" => self.words(&flags),
            _ => self.words(&[&["hey"], &flags[..]].concat()),
        })
    }

    fn words(&self, arguments: &[&str]) -> Words {
        let arguments = arguments.iter().map(OsString::from);
        std::iter::once(self.program.clone().into_os_string())
            .chain(arguments)
            .collect()
    }
}

/// Runs a command to its end. `meanwhile` is called after each poll with the time since the start.
pub(crate) fn run(words: &Words, meanwhile: impl FnMut(Duration)) -> anyhow::Result<Cost> {
    run_from(words, POLL_EVERY, start, meanwhile)
}

/// Runs a command that takes milliseconds.
pub(crate) fn run_short(words: &Words) -> anyhow::Result<Cost> {
    run_from(words, POLL_OFTEN, start, |_| {})
}

/// Runs a command that `start` starts.
pub(crate) fn run_from(
    words: &Words,
    poll_every: Duration,
    start: impl FnOnce(&Words) -> anyhow::Result<Child>,
    mut meanwhile: impl FnMut(Duration),
) -> anyhow::Result<Cost> {
    let before = children_cpu()?;
    let started = Instant::now();
    let mut child = start(words)?;
    // A report is shorter than the buffer of a pipe, so it can be read at the end.
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak_memory(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        meanwhile(started.elapsed());
        std::thread::sleep(poll_every);
    };
    let wall = started.elapsed();
    ensure!(status.success(), "{words:?} ended with {status}");
    let output = std::io::read_to_string(child.stdout.take().context("no output")?)?;
    Ok(Cost {
        cpu: children_cpu()?.since(before),
        wall,
        memory,
        output,
    })
}

/// Starts a command whose output can be read.
pub(crate) fn start(words: &Words) -> anyhow::Result<Child> {
    let (program, arguments) = words.split_first().context("no program")?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {words:?}"))
}

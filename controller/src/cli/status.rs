//! `canary-controller status`: shows canaries in the terminal.

use std::{
    io::{IsTerminal, Write, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::{anyhow, bail};
use api_failure::ApiFailure;
use tokio::time::Instant;

use super::args::StatusArgs;
use crate::{
    cluster::client,
    process::clock::Clock,
    views::{
        fetch::Fetch,
        model::View,
        outcome::{Outcome, events_of_release, outcome},
        terminal,
    },
};

/// Interval between two reads.
const PERIOD: Duration = Duration::from_millis(500);
/// Reads that may fail in a row after the first one has succeeded.
const MAX_FAILURES: u32 = 120;

/// Shows one canary, or all of a namespace: once, continuously, or until the release ends.
///
/// # Errors
/// If the cluster cannot be read or the Canary does not exist.
pub async fn show(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let client = client(args.kubeconfig.as_deref()).await?;
    let fetch = Fetch::new(client, &args.namespace);
    let clock = Clock::system();
    let mut screen = Screen::new(args.watch || args.until_done);
    let started = Instant::now();
    // Failures in a row; `None` until a read has succeeded.
    let mut failures: Option<u32> = None;
    loop {
        let views = match fetch.views(args.name.as_deref()).await {
            Ok(views) => views,
            // The API server may restart in the meantime.
            Err(failure)
                if failures.is_some_and(|count| count < MAX_FAILURES) && !failure.is_refusal() =>
            {
                failures = failures.map(|count| count + 1);
                tokio::time::sleep(PERIOD).await;
                continue;
            }
            Err(failure) => return Err(unreadable(&failure)),
        };
        failures = Some(0);
        if let Some(name) = args.name.as_deref().filter(|_| views.is_empty()) {
            bail!(
                "there is no Canary \"{name}\" in namespace {}",
                args.namespace
            );
        }
        screen.show(&views, clock.now())?;
        if !screen.follows {
            return Ok(ExitCode::SUCCESS);
        }
        if let (true, Some(view)) = (args.until_done, views.first()) {
            match outcome(view) {
                Outcome::Promoted(message) => {
                    screen.print(&message)?;
                    return Ok(ExitCode::SUCCESS);
                }
                Outcome::RolledBack(message) => {
                    screen.print(&message)?;
                    return Ok(ExitCode::from(2));
                }
                Outcome::Refused(message) => bail!(message),
                Outcome::NotNoticed if started.elapsed() > args.start_within => bail!(
                    "the controller has not noticed the change of the target within {} s; check that it is running",
                    args.start_within.as_secs()
                ),
                Outcome::NotNoticed | Outcome::Running => {}
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Builds the final error, with advice if there is any.
fn unreadable(failure: &ApiFailure) -> anyhow::Error {
    match failure.advice() {
        Some(advice) => anyhow!("cannot read the cluster: {failure}; {advice}"),
        None if failure.is_unserved_path() => anyhow!(
            "cannot read the cluster: {failure}; apply the CustomResourceDefinitions, or try again if the API server \
             has just started"
        ),
        None => anyhow!("cannot read the cluster: {failure}"),
    }
}

/// Standard output. When following, a terminal is redrawn, and anything else gets one line per event.
struct Screen {
    follows: bool,
    redraws: bool,
    lines: u16,
    /// Names of the printed events.
    printed: Vec<String>,
}

impl Screen {
    fn new(follows: bool) -> Self {
        Self {
            follows,
            redraws: follows && stdout().is_terminal(),
            lines: 0,
            printed: Vec::new(),
        }
    }

    fn show(&mut self, views: &[View], now: jiff::Timestamp) -> std::io::Result<()> {
        if self.follows && !self.redraws {
            return self.print_events(views);
        }
        let size = rustix::termios::tcgetwinsize(stdout())
            .ok()
            .filter(|size| size.ws_col > 0);
        let (width, height) = size.map_or((u16::MAX, u16::MAX), |size| (size.ws_col, size.ws_row));
        let mut text = terminal::render(views, now);
        if views.is_empty() {
            "No canaries found.\n".clone_into(&mut text);
        }
        let lines: Vec<String> = text
            .lines()
            .take(usize::from(height.saturating_sub(1)))
            .map(|line| line.chars().take(usize::from(width)).collect())
            .collect();
        let mut out = stdout().lock();
        if self.redraws && self.lines > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.lines)?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.lines = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        out.flush()
    }

    fn print_events(&mut self, views: &[View]) -> std::io::Result<()> {
        let mut out = stdout().lock();
        for event in views.iter().flat_map(events_of_release) {
            if !self.printed.contains(&event.name) {
                self.printed.push(event.name.clone());
                writeln!(out, "{}", terminal::event_line(event))?;
            }
        }
        out.flush()
    }

    fn print(&self, message: &str) -> std::io::Result<()> {
        writeln!(stdout().lock(), "{message}")
    }
}

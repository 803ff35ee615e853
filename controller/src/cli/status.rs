//! `canary-controller status`: canaries as people want to see them.

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
        terminal as render,
    },
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// Looks that may fail in a row while a release is followed.
const LONGEST_OUTAGE: u32 = 120;

/// Shows one canary or all of a namespace, once, or until it ends.
///
/// # Errors
/// When the cluster cannot be reached or has no such Canary.
pub async fn show(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let client = client(args.kubeconfig.as_deref()).await?;
    let fetch = Fetch::new(client, &args.namespace);
    let clock = Clock::system();
    let mut screen = Screen::new(args.watch || args.until_done);
    let started = Instant::now();
    // Failures in a row since the last answer; none before the first.
    let mut failures: Option<u32> = None;
    loop {
        let views = match fetch.views(args.name.as_deref()).await {
            Ok(views) => views,
            // The API server may be restarted while a release is followed.
            Err(failure)
                if failures.is_some_and(|count| count < LONGEST_OUTAGE)
                    && !failure.is_refusal() =>
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
                Outcome::Promoted(words) => {
                    screen.say(&words)?;
                    return Ok(ExitCode::SUCCESS);
                }
                Outcome::RolledBack(words) => {
                    screen.say(&words)?;
                    return Ok(ExitCode::from(2));
                }
                Outcome::Refused(words) => bail!(words),
                Outcome::NotNoticed if started.elapsed() > args.start_within => bail!(
                    "the change of the target was not noticed within {} s; does the controller run?",
                    args.start_within.as_secs()
                ),
                Outcome::NotNoticed | Outcome::Running => {}
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The error that ends the command, with the next step where one is known.
fn unreadable(failure: &ApiFailure) -> anyhow::Error {
    match failure.advice() {
        Some(advice) => anyhow!("cannot read the cluster: {failure}; {advice}"),
        None if failure.is_unserved_path() => anyhow!(
            "cannot read the cluster: {failure}; apply the definition of canaries, or try again if the API server \
             has just started"
        ),
        None => anyhow!("cannot read the cluster: {failure}"),
    }
}

/// Where it is shown: a terminal is redrawn, anything else gets one line for each event.
struct Screen {
    follows: bool,
    redraws: bool,
    lines: u16,
    told: Vec<String>,
}

impl Screen {
    fn new(follows: bool) -> Self {
        Self {
            follows,
            redraws: follows && stdout().is_terminal(),
            lines: 0,
            told: Vec::new(),
        }
    }

    fn show(&mut self, views: &[View], now: jiff::Timestamp) -> std::io::Result<()> {
        if self.follows && !self.redraws {
            return self.tell_events(views);
        }
        let size = rustix::termios::tcgetwinsize(stdout())
            .ok()
            .filter(|size| size.ws_col > 0);
        let (width, height) = size.map_or((u16::MAX, u16::MAX), |size| (size.ws_col, size.ws_row));
        let mut text = render::render(views, now);
        if views.is_empty() {
            "No canaries.\n".clone_into(&mut text);
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

    fn tell_events(&mut self, views: &[View]) -> std::io::Result<()> {
        let mut out = stdout().lock();
        for event in views.iter().flat_map(events_of_release) {
            if !self.told.contains(&event.name) {
                self.told.push(event.name.clone());
                writeln!(out, "{}", render::event_line(event))?;
            }
        }
        out.flush()
    }

    fn say(&self, words: &str) -> std::io::Result<()> {
        writeln!(stdout().lock(), "{words}")
    }
}

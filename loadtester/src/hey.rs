//! `loadtester hey`: one run at a terminal.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use crate::command::{self, Output, Parsed, UsageError};
use crate::engine::{self, Control, EngineError};
use crate::plan::{Origin, Plan, Proxies};
use crate::progress::Progress;
use crate::recorder::Outcome;
use crate::report::json::Report;
use crate::report::{csv, text};

/// Exit code when a condition of `--fail-on` does not hold.
const CONDITION_FAILED: u8 = 2;
/// Exit codes after a second SIGINT or SIGTERM: 128 plus the number of the signal, as in a shell.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Parses the command line, runs the load and prints the report.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let typed = match command::parse(words) {
        Ok(Parsed::Run(typed)) => typed,
        Ok(Parsed::Help) => {
            return match written(std::io::stdout().write_all(command::usage().as_bytes())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(code) => code,
            };
        }
        Err(error) => return refuse(&error),
    };
    let plan = match Plan::new(&typed, &Origin::Person, &Proxies::from_environment()) {
        Ok(plan) => plan,
        Err(error) => return refuse(&error),
    };
    match run_interruptibly(&plan) {
        Ok((outcome, rows)) => report(&plan, &outcome, rows),
        Err(error) => {
            eprintln!("hey: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints why a command line is refused.
pub(crate) fn refuse(error: &UsageError) -> ExitCode {
    eprintln!("hey: {error}");
    ExitCode::FAILURE
}

/// Runs the plan. Ctrl-C or SIGTERM ends the run early, with its report; a second one ends the process.
fn run_interruptibly(plan: &Plan) -> Result<(Outcome, std::io::Result<()>), EngineError> {
    engine::raise_descriptor_limit();
    let control = Arc::new(Control::default());
    let out = Arc::new(Mutex::new(csv::Output::new(std::io::stdout())));
    let rows = (plan.output == Output::Csv).then(|| Arc::clone(&out) as csv::Sink);
    if let Some(rows) = &rows {
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        // The output keeps a write error and returns it at the end.
        let _ = rows.write_all(csv::HEADER.as_bytes());
    }
    watch_for_interrupt(Arc::clone(&control)).map_err(EngineError::Start)?;
    let progress = Progress::start(plan, &control);
    let result = engine::run(plan, &control, rows);
    progress.finish();
    let rows = out.lock().unwrap_or_else(PoisonError::into_inner).end();
    Ok((result?, rows))
}

fn watch_for_interrupt(control: Arc<Control>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let mut signalled = async || {
                    tokio::select! {
                        _ = interrupt.recv() => INTERRUPTED,
                        _ = terminate.recv() => TERMINATED,
                    }
                };
                signalled().await;
                control.cancel();
                std::process::exit(signalled().await);
            });
        })?;
    Ok(())
}

fn report(plan: &Plan, outcome: &Outcome, rows: std::io::Result<()>) -> ExitCode {
    let text = match plan.output {
        Output::Summary => text::summary(outcome),
        Output::Csv => String::new(),
        Output::Json => {
            let report = Report::new(&outcome.totals, outcome.elapsed, &plan.thresholds);
            serde_json::to_string_pretty(&report).unwrap_or_else(|error| error.to_string()) + "\n"
        }
    };
    let mut out = std::io::stdout();
    let result = rows
        .and_then(|()| out.write_all(text.as_bytes()))
        .and_then(|()| out.flush());
    let breaches = plan.thresholds.breaches(&outcome.totals, outcome.elapsed);
    for breach in &breaches {
        eprintln!("hey: {breach}");
    }
    match written(result) {
        _ if !breaches.is_empty() => ExitCode::from(CONDITION_FAILED),
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// Prints why the result cannot be written. A closed pipe (`| head`) is not an error.
fn written(result: std::io::Result<()>) -> Result<(), ExitCode> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("hey: cannot write the result: {error}");
            Err(ExitCode::FAILURE)
        }
        _ => Ok(()),
    }
}

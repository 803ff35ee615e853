//! The program's command line: `loadtester hey …` and `loadtester serve …`, and `hey …` when called by that name.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::{command, hey, server};

#[derive(Debug, clap::Parser)]
#[command(
    name = "loadtester",
    version,
    about = "Load generator with hey's command line, and Flagger's load-tester webhook"
)]
struct Cli {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Send load and report, with the command line of hey (`loadtester hey -h`)
    #[command(disable_help_flag = true)]
    Hey {
        /// Flags and URLs of hey
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Serve webhooks that start loads and check gates
    Serve(Box<server::Config>),
}

/// Runs the program with its arguments; the exit code is the process's.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let called_hey = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(|name| name == "hey");
    if called_hey {
        arguments.insert(1, "hey".into());
    }
    match Cli::parse_from(arguments).command {
        Subcommand::Hey { words } => hey::run(&words),
        Subcommand::Serve(config) => match server::run(*config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("loadtester serve: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Prints a refused command line as hey does: the reason, then where to read more.
pub(crate) fn refuse(error: &command::UsageError) -> ExitCode {
    eprintln!("hey: {error}");
    ExitCode::FAILURE
}

//! The program's command line: `loadtester hey …` and `loadtester serve …`, or `hey …` under that name.

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
    /// Send load and print a report, with the command line of hey (`loadtester hey -h`)
    #[command(disable_help_flag = true)]
    Hey {
        /// Flags and URLs of hey
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Serve webhooks that run load tests and check gates
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
    // Without clap, which takes longer than the one request of `hey -n 1`.
    if arguments.get(1).is_some_and(|word| word == "hey") {
        return match texts(arguments.split_off(2)) {
            Ok(words) => hey::run(&words),
            Err(error) => hey::refuse(&error),
        };
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

fn texts(words: Vec<OsString>) -> Result<Vec<String>, command::UsageError> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| {
            let word = word.display();
            command::UsageError(format!("`{word}` is not UTF-8"))
        })
    };
    words.into_iter().map(text).collect()
}

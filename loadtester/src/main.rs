//! Load generator with the command line of hey and the webhook API of Flagger's load tester.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadtester::cli::run(std::env::args_os())
}

//! The program `localcluster`. See the documentation of the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match localcluster::run(localcluster::args::Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

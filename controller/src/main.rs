//! A canary controller that implements Flagger's API for Istio and the Gateway API.

use std::process::ExitCode;

use clap::Parser;
use controller::{
    api,
    cli::{
        args::{Cli, Command, with_two_dashes},
        run, status,
    },
    process::log,
};

fn main() -> ExitCode {
    let cli = Cli::parse_from(with_two_dashes(std::env::args_os()));
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("canary-controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    // An error means that the provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match cli
        .command
        .unwrap_or_else(|| Command::Run(Box::new(cli.run)))
    {
        Command::Crd => {
            print!("{}", api::definitions_yaml()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => runtime.block_on(status::show(args)),
        Command::Run(args) => {
            log::start(args.log_level, args.log_format);
            runtime.block_on(run::run(*args))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

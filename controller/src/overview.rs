//! placeholder
use crate::args::StatusArgs;
use std::process::ExitCode;
/// x
pub async fn show(_args: StatusArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

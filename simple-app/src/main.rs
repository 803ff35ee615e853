//! The app being released: it responds with its version and exports a request summary.

use anyhow::Context as _;
use clap::Parser as _;
use simple_app::{Config, lifecycle};

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(lifecycle::run(config))
}

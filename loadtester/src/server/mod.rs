//! `loadtester serve`: the webhook API of Flagger's load tester. Load tests run inside the process.

mod config;
mod exec;
mod gates;
mod job;
mod metrics;
mod payload;
mod router;
mod serve;
mod tasks;
mod verdicts;

pub(crate) use config::Config;
pub(crate) use serve::run;

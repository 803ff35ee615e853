//! Startup, readiness and liveness probes.

mod check;
mod schedule;

pub(crate) use check::Checker;
pub(crate) use schedule::{Kind, Schedule, Verdict};

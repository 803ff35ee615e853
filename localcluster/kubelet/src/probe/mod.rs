//! Probes: whether a container has started, is ready, is alive.

mod check;
mod schedule;

pub(crate) use check::Checker;
pub(crate) use schedule::{Kind, Schedule, Verdict};

//! The command line: one file per verb.

pub mod args;
pub mod run;
pub mod status;

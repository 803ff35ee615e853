//! The command line: one file per subcommand.

pub mod args;
pub mod run;
pub mod status;

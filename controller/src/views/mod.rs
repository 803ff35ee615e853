//! A canary as people see it.
//!
//! - [`model`]: the one reading of a Canary, whoever shows it
//! - [`terminal`]: for people at a terminal
//! - [`page`]: for people at a browser

pub(crate) mod fetch;
pub(crate) mod model;
pub(crate) mod outcome;
pub mod page;
pub(crate) mod terminal;

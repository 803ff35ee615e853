//! Views of a canary for people.
//!
//! - [`model`]: the data that every view shows
//! - [`terminal`]: text for a terminal
//! - [`page`]: HTML and JSON for a browser

pub(crate) mod fetch;
pub(crate) mod model;
pub(crate) mod outcome;
pub mod page;
pub(crate) mod terminal;

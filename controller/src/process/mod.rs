//! The parts of a running process that are independent of releases.

pub mod background;
pub mod clock;
pub mod endpoints;
pub mod http;
pub mod lease;
pub mod log;
pub mod metrics;
pub mod serve;
pub mod settings;

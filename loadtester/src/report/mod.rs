//! Results as text, CSV and JSON, and the conditions on them.

pub mod csv;
pub mod json;
pub mod text;
pub mod thresholds;

//! Metrics servers, one file each.

pub(super) mod prometheus;

//! Targets: the workloads that can be released, one file for each kind.

pub mod deployment;

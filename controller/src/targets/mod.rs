//! Targets: the workloads that can be released, one file per kind.

pub mod deployment;

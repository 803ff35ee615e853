//! One gate, and the errors of all kinds of storage.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::name::ConfigMapName;

/// A gate that somebody has opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// True if checks pass.
    pub open: bool,
    /// Address of the last caller who changed it, after a name if the caller sent one.
    pub changed_by: String,
    /// Time of the change in seconds since 1970; unknown if a person edited the ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<u64>,
}

/// Gates by key: `name.namespace`, or `rollback.name.namespace` for rollbacks.
pub(crate) type Table = BTreeMap<String, Gate>;

/// Reasons why gates cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// Reading the file failed.
    #[error("cannot read the gates from {0}: {1}")]
    Read(PathBuf, io::Error),
    /// The file does not contain gates.
    #[error("{0} does not contain gates: {1} (delete the file to close all gates)")]
    Parse(PathBuf, serde_json::Error),
    /// Writing the file failed; the gate is unchanged.
    #[error("cannot write the gates to {0}: {1}")]
    Write(PathBuf, io::Error),
    /// The ConfigMap cannot be read or written. The gate is unchanged, unless the connection to the API server broke after
    /// the request.
    #[error("ConfigMap {0}: {1}")]
    ConfigMap(ConfigMapName, String),
}

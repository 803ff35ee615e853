//! Gates that people open and close and that webhooks check; all are closed until opened.
//!
//! Kept in memory they are lost with the process. In a file or in a ConfigMap they survive it, and replicas agree:
//! both are read again at every check.

mod api_server;
mod config_map;
mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub(crate) use api_server::ApiServer;
pub(crate) use config_map::{ConfigMap, ConfigMapName};
use file::GatesFile;

/// A gate somebody has opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// Whether checks pass.
    pub open: bool,
    /// Address of whoever changed it last, with a name if one was given.
    pub changed_by: String,
    /// When, in seconds since 1970; unknown of what a person wrote into the ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<u64>,
}

/// By key: `name.namespace`, and `rollback.name.namespace` for rollbacks.
pub(crate) type Table = BTreeMap<String, Gate>;

/// Gates that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// Reading the file failed.
    #[error("cannot read the gates from {0}: {1}")]
    Read(PathBuf, io::Error),
    /// The file holds something else.
    #[error("{0} does not hold gates: {1} (delete it to close all gates)")]
    Parse(PathBuf, serde_json::Error),
    /// Writing the file failed; the gate is as before.
    #[error("cannot write the gates to {0}: {1}")]
    Write(PathBuf, io::Error),
    /// The ConfigMap cannot be read or written; a gate that was to be changed is as before, unless the API server was
    /// lost in between.
    #[error("ConfigMap {0}: {1}")]
    ConfigMap(ConfigMapName, String),
}

/// All gates, wherever they are kept.
#[derive(Debug)]
pub(crate) enum Gates {
    /// Closed again when the process ends.
    Memory(Mutex<Table>),
    /// In a file.
    File(GatesFile),
    /// In a ConfigMap.
    ConfigMap(ConfigMap),
}

impl Gates {
    /// Gates of this process.
    pub(crate) fn in_memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// Gates in a file.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub(crate) fn in_file(path: PathBuf) -> Result<Self, GateError> {
        Ok(Self::File(GatesFile::open(path)?))
    }

    /// Whether the gate is open.
    ///
    /// # Errors
    /// The gates cannot be read: an unknown gate is not taken for a closed one.
    pub(crate) async fn is_open(&self, key: &str) -> Result<bool, GateError> {
        let gate = match self {
            Self::ConfigMap(config_map) => config_map.gate(key).await?,
            _ => self.all().await?.remove(key),
        };
        Ok(gate.is_some_and(|gate| gate.open))
    }

    /// Every gate anybody has changed.
    ///
    /// # Errors
    /// The gates cannot be read.
    pub(crate) async fn all(&self) -> Result<Table, GateError> {
        match self {
            Self::Memory(table) => {
                let table = table.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(table.clone())
            }
            Self::File(file) => file.all().await,
            Self::ConfigMap(config_map) => config_map.all().await,
        }
    }

    /// Changes a gate.
    ///
    /// # Errors
    /// The gates cannot be read or written; the gate is then as before.
    pub(crate) async fn set(&self, key: &str, gate: Gate) -> Result<(), GateError> {
        match self {
            Self::Memory(table) => {
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                table.insert(key.to_owned(), gate);
                Ok(())
            }
            Self::File(file) => file.change(key, gate).await,
            Self::ConfigMap(config_map) => config_map.set(key, &gate).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(open: bool) -> Gate {
        Gate {
            open,
            changed_by: "127.0.0.1".into(),
            changed_at: Some(1_700_000_000),
        }
    }

    #[tokio::test]
    async fn gates_are_closed_until_opened() {
        let gates = Gates::in_memory();
        assert!(!gates.is_open("a.b").await.unwrap());
        gates.set("a.b", gate(true)).await.unwrap();
        assert!(gates.is_open("a.b").await.unwrap());
        assert!(!gates.is_open("rollback.a.b").await.unwrap());
        gates.set("a.b", gate(false)).await.unwrap();
        assert!(!gates.is_open("a.b").await.unwrap());
    }
}

//! Gates that people open and close and that webhooks check. All are closed until opened.
//!
//! Gates in memory are lost with the process. Gates in a file or a ConfigMap survive it, and replicas share them, because
//! every check reads them again.

mod api_server;
mod config_map;
mod file;
mod gate;
mod name;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

pub(crate) use api_server::ApiServer;
pub(crate) use config_map::ConfigMap;
use file::GatesFile;
use gate::Table;
pub(crate) use gate::{Gate, GateError};
pub(crate) use name::ConfigMapName;

/// All gates, in the place where they are kept.
#[derive(Debug)]
pub(crate) enum Gates {
    /// In memory; closed again when the process ends.
    Memory(Mutex<Table>),
    /// In a file.
    File(GatesFile),
    /// In a ConfigMap.
    ConfigMap(ConfigMap),
}

impl Gates {
    /// Gates in memory.
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

    /// True if the gate is open.
    ///
    /// # Errors
    /// The gates cannot be read. A gate in an unknown state is not taken for a closed one.
    pub(crate) async fn is_open(&self, key: &str) -> Result<bool, GateError> {
        let gate = match self {
            Self::ConfigMap(config_map) => config_map.gate(key).await?,
            _ => self.all().await?.remove(key),
        };
        Ok(gate.is_some_and(|gate| gate.open))
    }

    /// All gates that were ever changed.
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
    /// The gates cannot be read or written; the gate is then unchanged.
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

//! The state that all requests share, and one request on its way to its verb.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::response::Response;
use bytes::Bytes;
use http::header::WARNING;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

use super::request::Query;
use super::requests::RequestCounter;
use super::user::User;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::registry::select::Selection;
use crate::registry::{Catalog, Kind, custom};
use crate::status::ApiError;
use crate::store::disk::DiskError;
use crate::store::{Expect, LogError, Record, Store};
use crate::tokens::Tokens;
use crate::{Config, Error};

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    /// Where the kubelet keeps the logs of containers.
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) requests: RequestCounter,
    pub(crate) admission: Arc<Admission>,
    /// When events were last looked at for old ones.
    pub(crate) expired_at: Mutex<Option<Timestamp>>,
    catalog: RwLock<Arc<Catalog>>,
}

impl Server {
    pub(crate) fn new(store: Store, config: &Config, tokens: Tokens) -> Result<Self, Error> {
        let catalog = RwLock::new(Arc::new(custom::catalog(&store)));
        Ok(Self {
            store: Arc::new(store),
            clock: config.clock.clone(),
            tokens,
            log_dir: config.log_dir.clone(),
            requests: RequestCounter::new()?,
            admission: Arc::clone(&config.admission),
            expired_at: Mutex::default(),
            catalog,
        })
    }

    /// What is served now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes an object and waits until it is on disk.
    pub(crate) async fn put(
        &self,
        kind: &Kind,
        key: &str,
        object: Value,
        expect: Expect,
    ) -> Result<Arc<Record>, WriteError> {
        self.settle(kind, self.store.put(key, object, expect)?)
            .await
    }

    /// Removes an object, in its last state, and waits until that is on disk.
    pub(crate) async fn remove(
        &self,
        kind: &Kind,
        key: &str,
        last: Value,
        revision: u64,
    ) -> Result<Arc<Record>, WriteError> {
        let record = self.store.delete(key, Some(last), Some(revision))?;
        let record = self.settle(kind, record).await?;
        if let Some(definition) = kind.definition() {
            // It may have waited for this object.
            self.release_definition(definition).await?;
        }
        Ok(record)
    }

    async fn settle(&self, kind: &Kind, record: Arc<Record>) -> Result<Arc<Record>, WriteError> {
        if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
            let mut served = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            *served = Arc::new(custom::catalog(&self.store));
        }
        self.store.durable(record.revision).await?;
        Ok(record)
    }
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The object is not as expected; nothing was written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The write may be lost.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl WriteError {
    /// The answer for a write of the object called `name`.
    pub(crate) fn answer(self, kind: &Kind, name: &str) -> ApiError {
        match self {
            Self::Log(LogError::Exists(_)) => ApiError::already_exists(kind, name),
            Self::Log(LogError::Missing(_)) => ApiError::not_found(kind, name),
            Self::Log(LogError::Conflict { .. }) => ApiError::modified(kind, name),
            Self::Log(other) => other.into(),
            Self::Disk(error) => error.into(),
        }
    }

    /// Returns whether somebody else wrote the object since it was read.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Log(LogError::Conflict { .. }))
    }
}

/// A request on its way to its verb.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) user: User,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    warnings: Mutex<Vec<String>>,
}

impl Call {
    /// The objects of a kind that the query selects.
    pub(crate) fn selection(&self, kind: &Kind) -> Result<Selection, ApiError> {
        let text = |key: &str| self.query.get(key).unwrap_or_default();
        Selection::parse(text("labelSelector"), text("fieldSelector"), kind)
    }

    pub(super) fn new(
        server: Arc<Server>,
        user: User,
        headers: HeaderMap,
        query: Query,
        body: Bytes,
    ) -> Self {
        Self {
            server,
            user,
            headers,
            query,
            body,
            warnings: Mutex::default(),
        }
    }

    /// Tells the client something that is no error; each text once.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text.into();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Adds the warnings to an answer.
    pub(super) fn add_warnings(&self, response: &mut Response) {
        for text in self
            .warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(WARNING, value);
            }
        }
    }
}

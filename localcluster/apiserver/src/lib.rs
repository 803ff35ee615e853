//! A Kubernetes API server on an embedded store, as a library.
//!
//! It speaks the Kubernetes API to kubectl, kube-rs and any other client, for one machine and without
//! anything beside it: no etcd, no other processes.
//!
//! # Layout
//!
//! - [`store`]: one revision counter, an append-only log, watches, and a copy on disk.
//! - `registry`: the kinds that are served and the rules for their objects.
//! - `schema`: structure of the kinds: decoding, pruning, defaulting, validation, merging.
//! - `patch`: the patch formats, as pure functions on values.
//! - `status`: errors as clients see them.
//! - `api`: HTTP, from a request to the verb that answers it.
//! - [`admission`]: for tests only: quotas, denying webhooks, enforced owners, slow and failing answers, as
//!   other API servers have them. All of it is off, and no program of the project switches it on.
//! - [`pki`], [`kubeconfig`], `tokens`, `serve`: how clients reach the server and show who they are.
//!
//! # Guarantees
//!
//! - A write is acknowledged when it survives the end of the process.
//! - A watch shows every write after its start exactly once and in order, or says that it cannot.
//! - A CustomResourceDefinition is accepted or refused as by Kubernetes, with its messages.
//! - What a client sends and this server does not understand or do is refused or warned about.
//!
//! # Caveats
//!
//! Conversion webhooks, real admission webhooks and quotas, exec, attach and port-forward are not offered. CEL rules
//! of CustomResourceDefinitions that call functions this server does not have are named by a warning and skipped.
//! Owned objects are collected by the garbage collector of the controllers,
//! and namespaces are emptied by theirs.

pub mod admission;
mod api;
mod client;
mod clock;
mod error;
mod files;
pub mod kubeconfig;
mod names;
mod object;
mod patch;
pub mod pki;
mod registry;
mod schema;
mod serve;
mod status;
pub mod store;
mod tokens;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use admission::Admission;
use axum::Router;
pub use clock::Clock;
pub use error::Error;

use api::{Server, User};
use rustls::ServerConfig;
use store::Store;
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How to open an [`ApiServer`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Directory of the database; `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Directory with the logs of containers, laid out
    /// `<namespace>_<pod>_<uid>/<container>/<restart>.log`; `None` when there are none.
    pub log_dir: Option<PathBuf>,
    /// Source of timestamps.
    pub clock: Clock,
    /// Switches for tests; all are off at first, and change while the server runs.
    pub admission: Arc<Admission>,
}

/// An API server. Clones share their state.
#[derive(Debug, Clone)]
pub struct ApiServer {
    server: Arc<Server>,
}

impl ApiServer {
    /// Opens the server's database and makes the objects that every cluster has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let store = match &config.data_dir {
            None => Store::in_memory(),
            Some(directory) => {
                std::fs::create_dir_all(directory).map_err(|source| Error::Directory {
                    path: directory.clone(),
                    source,
                })?;
                Store::open(&directory.join("objects.redb"))?
            }
        };
        let tokens = Tokens::open(config.data_dir.as_deref()).map_err(|source| Error::Secrets {
            path: config.data_dir.clone().unwrap_or_default(),
            source,
        })?;
        let server = Arc::new(Server::new(store, &config, tokens)?);
        registry::bootstrap::ensure(&server.catalog(), &server.store, &server.clock).await?;
        Ok(Self { server })
    }

    /// A client that calls this server directly, as the administrator.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client_as("system:admin", &["system:masters"])
    }

    /// A client that calls this server directly, as the given user. The group of all authenticated users
    /// is added.
    #[must_use]
    pub fn client_as(&self, user: &str, groups: &[&str]) -> kube::Client {
        let user = User::new(user, groups.iter().copied());
        client::in_process(api::router(self.server.clone()), user)
    }

    /// The switches for tests, which change the server while it runs.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.server.admission
    }

    /// The administrator's bearer token. It is made once and kept in the data directory.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        self.server.tokens.admin()
    }

    /// The server's routes; requests must carry a bearer token.
    pub fn router(&self) -> Router {
        api::authenticating_router(self.server.clone())
    }

    /// Serves HTTP/1.1 and HTTP/2 over TLS until `shutdown`. The configuration comes from
    /// [`pki::Authority::server_config`].
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        serve::run(self.router(), listener, tls, shutdown).await
    }
}

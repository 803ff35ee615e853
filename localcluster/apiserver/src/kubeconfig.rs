//! Kubeconfig files.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::files::write_private;

/// What a client needs to reach a server as one user.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// E.g. `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// Certificate of the authority that signed the server's.
    pub authority_pem: &'a str,
    /// Bearer token.
    pub token: &'a str,
    /// Namespace used when none is named.
    pub namespace: &'a str,
}

/// The kubeconfig as text; JSON, which is YAML too.
#[must_use]
pub fn render(access: &Access<'_>) -> String {
    let config = config(access);
    serde_yaml::to_string(&config).unwrap_or_else(|_| config.to_string())
}

/// Writes the kubeconfig to a file that only its owner may read.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, access: &Access<'_>) -> io::Result<()> {
    write_private(path, render(access).as_bytes())
}

fn config(access: &Access<'_>) -> Value {
    let name = "localcluster";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": {
            "server": access.server,
            "certificate-authority-data": STANDARD.encode(access.authority_pem),
        }}],
        "users": [{ "name": name, "user": { "token": access.token } }],
        "contexts": [{ "name": name, "context": {
            "cluster": name, "user": name, "namespace": access.namespace,
        }}],
        "current-context": name,
        "preferences": {},
    })
}

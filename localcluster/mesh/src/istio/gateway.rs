//! `Gateway`: exposes hosts to clients outside the mesh.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;

/// Spec of a `Gateway`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "networking.istio.io",
    version = "v1",
    kind = "Gateway",
    plural = "gateways",
    shortname = "gw",
    category = "istio-io",
    category = "networking-istio-io",
    namespaced,
    status = "Status",
    schema = "derived",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Ports and hosts.
    pub servers: Vec<Server>,
    /// Labels of the gateway pods. Here one ingress serves all Gateways.
    pub selector: BTreeMap<String, String>,
}

/// A port and the hosts reachable on it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["hosts", "port"]))]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// The port.
    pub port: GatewayPort,
    /// Hosts, optionally with the prefix `namespace/`. `*` stands for any host.
    pub hosts: Vec<String>,
    /// TLS settings of connections from clients.
    #[schemars(schema_with = "super::anything")]
    pub tls: Option<Value>,
    /// Name for people.
    pub name: Option<String>,
    /// Address to listen on.
    pub bind: Option<String>,
    /// Obsolete field without effect.
    pub default_endpoint: Option<String>,
}

/// Port of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("required" = ["name", "number", "protocol"]))]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayPort {
    /// Number.
    #[schemars(range(min = 1, max = 65535))]
    pub number: u32,
    /// `HTTP`, `HTTP2`, `GRPC`, `HTTPS`, `TCP` or `TLS`.
    pub protocol: String,
    /// Name.
    pub name: String,
    /// Obsolete field without effect.
    #[schemars(range(min = 1, max = 65535))]
    pub target_port: Option<u32>,
}

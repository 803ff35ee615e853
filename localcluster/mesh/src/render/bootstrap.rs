//! Envoy's static configuration: listeners, admin interface and the paths of the dynamic files.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{INGRESS, OUTBOUND, Settings};

/// The statistics that Envoy keeps: requests per cluster, and the versions and rejections of the configuration. Envoy
/// has several hundred more that nothing here reads, but every scrape would transfer them.
const STATISTICS: [&str; 6] = [
    r"cluster\..*\.upstream_rq(_[0-9x]+|_time|_retry|_retry_success|_timeout)?",
    r"cluster\..*\.(update_rejected|update_failure|version_text|membership_total|upstream_cx_active)",
    r"cluster_manager\..*",
    r"http\.(outbound|ingress)\.rds\..*",
    r"http\.(outbound|ingress)\.(downstream_rq_.*|no_route|no_cluster)",
    r"server\.(live|uptime|state)",
];

/// Allowed paths of the admin interface. Paths that change Envoy's state, above all `/quitquitquit`, are blocked;
/// Envoy is stopped by a signal.
const ADMIN_PATHS: [&str; 7] = [
    "/ready",
    "/stats",
    "/clusters",
    "/config_dump",
    "/listeners",
    "/server_info",
    "/certs",
];

/// The bootstrap configuration.
pub fn bootstrap(settings: &Settings) -> Value {
    let mut listeners = vec![listener(OUTBOUND, settings.proxy, settings)];
    if let Some(address) = settings.ingress {
        listeners.push(listener(INGRESS, address, settings));
    }
    json!({
        "node": { "id": "localcluster", "cluster": "localcluster" },
        "admin": {
            "address": socket_address(settings.admin),
            "allow_paths": ADMIN_PATHS.map(|path| json!({ "prefix": path })),
        },
        // Merge histograms on read: a scrape is never stale, and an idle Envoy does no work.
        "stats_flush_on_admin": true,
        "stats_config": { "stats_matcher": { "inclusion_list": {
            "patterns": STATISTICS.map(|regex| json!({ "safe_regex": { "regex": regex } })),
        } } },
        "dynamic_resources": { "cds_config": file(settings, "clusters.json") },
        "static_resources": { "listeners": listeners },
    })
}

fn file(settings: &Settings, name: &str) -> Value {
    json!({
        "resource_api_version": "V3",
        "path_config_source": { "path": settings.folder.join(name) },
    })
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}

fn listener(name: &str, address: SocketAddr, settings: &Settings) -> Value {
    let filter = |name: &str, kind: &str| {
        json!({
            "name": format!("envoy.filters.http.{name}"),
            "typed_config": {
                "@type": format!("type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{kind}"),
            },
        })
    };
    let mut router = filter("router", "Router");
    router["typed_config"]["suppress_envoy_headers"] = json!(true);
    json!({
        "name": name,
        "address": socket_address(address),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                // Clients of a proxy send the absolute URL in the request line.
                "http_protocol_options": { "allow_absolute_url": true, "accept_http_10": true },
                "server_header_transformation": "PASS_THROUGH",
                "normalize_path": true,
                // Istio sets no limit; the timeout of the route applies.
                "stream_idle_timeout": "0s",
                "upgrade_configs": [{ "upgrade_type": "websocket" }],
                "rds": {
                    "route_config_name": name,
                    "config_source": file(settings, &format!("{name}.json")),
                },
                "local_reply_config": { "mappers": [
                    local_reply("UH", "no pod behind %REQ(:AUTHORITY)% is ready; see: kubectl get pods,endpointslices\n"),
                    local_reply("NC", "the route for %REQ(:AUTHORITY)% refers to a Service or subset that does not exist; see the events of its VirtualService or HTTPRoute\n"),
                ] },
                "http_filters": [filter("cors", "Cors"), filter("fault", "HTTPFault"), router],
            },
        }] }],
    })
}

/// Body of the responses that Envoy itself generates with this response flag.
fn local_reply(flag: &str, text: &str) -> Value {
    json!({
        "filter": { "response_flag_filter": { "flags": [flag] } },
        "body_format_override": { "text_format_source": { "inline_string": text } },
    })
}

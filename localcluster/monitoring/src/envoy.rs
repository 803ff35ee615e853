//! Envoy's statistics under Istio's names, so that queries for Istio work.
//!
//! The mesh names each cluster's statistics `SERVICE|NAMESPACE|PORT|WORKLOAD|REPORTER`. There is only one proxy, on the
//! client's side of every request. Its counts are stored with the reporter `destination`, because pods have no proxy and
//! checks of a release query the destination. For a Service with a waypoint the reporter is `waypoint`, as in an ambient
//! mesh.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Name of the scrape job.
pub const JOB: &str = "envoy";

/// The scrape configuration for the Envoy whose admin interface is at `admin`.
pub fn scrape_config(admin: SocketAddr) -> Value {
    let set = |label: &str, value: &str| json!({ "target_label": label, "replacement": value });
    let part = |label: &str, replacement: &str| {
        json!({
            "source_labels": ["envoy_cluster_name"],
            "regex": r"([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)",
            "target_label": label,
            "replacement": replacement,
        })
    };
    let rename = |from: &str, to: &str| {
        json!({
            "source_labels": ["__name__"],
            "regex": from,
            "target_label": "__name__",
            "replacement": to,
        })
    };
    json!({
        "job_name": JOB,
        "metrics_path": "/stats/prometheus",
        // Envoy applies this filter before it renders the response.
        "params": { "filter": [r"^cluster\..*\|.*\.upstream_rq_([1-5][0-9][0-9]|time)$"] },
        "static_configs": [{ "targets": [admin.to_string()] }],
        "metric_relabel_configs": [
            { "source_labels": ["__name__"], "action": "keep",
              "regex": "envoy_cluster_upstream_rq(_time_(bucket|sum|count))?" },
            part("destination_service_name", "$1"),
            part("destination_service_namespace", "$2"),
            part("destination_workload_namespace", "$2"),
            part("destination_workload", "$4"),
            // Without this label two ports of a Service would be the same series.
            part("destination_port", "$3"),
            { "source_labels": ["envoy_response_code"], "regex": "(.+)", "target_label": "response_code" },
            part("reporter", "$5"),
            set("source_workload", "unknown"),
            set("source_workload_namespace", "unknown"),
            rename("envoy_cluster_upstream_rq", "istio_requests_total"),
            rename("envoy_cluster_upstream_rq_time_(.+)", "istio_request_duration_milliseconds_$1"),
            { "action": "labeldrop", "regex": "envoy_.+" },
        ],
    })
}

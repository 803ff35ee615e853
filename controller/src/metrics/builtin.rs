//! The two built-in checks on what a provider's metrics say, as Flagger queries them.

/// The queries of one provider.
#[derive(Debug)]
pub(super) struct Queries {
    /// Percentage of requests to the canary that were not answered with 5xx.
    pub(super) success_rate: &'static str,
    /// 99th percentile of the duration of requests to the canary, in milliseconds.
    pub(super) duration: &'static str,
}

/// The queries for the traffic provider of a canary. (Flagger: the metrics of the app itself for the Gateway API,
/// which says nothing about metrics of its implementations; a MetricTemplate asks those.)
pub(super) fn queries(provider: &str) -> &'static Queries {
    if provider.starts_with("gatewayapi") {
        &APP
    } else {
        &ISTIO
    }
}

/// What the proxies of the canary's pods count.
const ISTIO: Queries = Queries {
    success_rate: ISTIO_SUCCESS_RATE,
    duration: ISTIO_DURATION,
};

/// What the app counts, under the names that Prometheus' client libraries have for it. The pod's labels are called as
/// Flagger's own Prometheus calls them, or as the Prometheus Operator does (Flagger knows the first alone).
const APP: Queries = Queries {
    success_rate: APP_SUCCESS_RATE,
    duration: APP_DURATION,
};

const APP_SUCCESS_RATE: &str = r#"
(sum(
  rate(http_request_duration_seconds_count{
    kubernetes_namespace="{{ namespace }}",
    kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",
    status!~"5.*"
  }[{{ interval }}])
  or rate(http_request_duration_seconds_count{
    namespace="{{ namespace }}",
    pod=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",
    status!~"5.*"
  }[{{ interval }}])
) or vector(0))
/
sum(
  rate(http_request_duration_seconds_count{
    kubernetes_namespace="{{ namespace }}",
    kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
  }[{{ interval }}])
  or rate(http_request_duration_seconds_count{
    namespace="{{ namespace }}",
    pod=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
  }[{{ interval }}])
)
* 100"#;

const APP_DURATION: &str = r#"
histogram_quantile(0.99, sum(
  rate(http_request_duration_seconds_bucket{
    kubernetes_namespace="{{ namespace }}",
    kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
  }[{{ interval }}])
  or rate(http_request_duration_seconds_bucket{
    namespace="{{ namespace }}",
    pod=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
  }[{{ interval }}])
) by (le))
* 1000"#;

/// `or vector(0)`: when every request fails there is no series of successful ones, and the rate is 0, not unknown.
const ISTIO_SUCCESS_RATE: &str = r#"
(sum(rate(istio_requests_total{
  reporter="destination",
  destination_workload_namespace="{{ namespace }}",
  destination_workload=~"{{ target }}",
  response_code!~"5.*"
}[{{ interval }}])) or vector(0))
/
sum(rate(istio_requests_total{
  reporter="destination",
  destination_workload_namespace="{{ namespace }}",
  destination_workload=~"{{ target }}"
}[{{ interval }}]))
* 100"#;

const ISTIO_DURATION: &str = r#"
histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{
  reporter="destination",
  destination_workload_namespace="{{ namespace }}",
  destination_workload=~"{{ target }}"
}[{{ interval }}])) by (le))"#;

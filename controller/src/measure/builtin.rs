//! The two built-in checks on Istio's metrics, as Flagger queries them.

/// Percentage of requests to the canary that were not answered with 5xx.
///
/// `or vector(0)`: when every request fails there is no series of successful ones, and the rate is 0, not unknown.
pub(super) const SUCCESS_RATE: &str = r#"
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

/// 99th percentile of the duration of requests to the canary, in milliseconds.
pub(super) const DURATION: &str = r#"
histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{
  reporter="destination",
  destination_workload_namespace="{{ namespace }}",
  destination_workload=~"{{ target }}"
}[{{ interval }}])) by (le))"#;

//! The two built-in checks on what the proxies of the canary's pods count, as Flagger queries them.

use crate::routing::Queries;

pub(super) const QUERIES: Queries = Queries {
    success_rate: SUCCESS_RATE,
    duration: DURATION,
};

/// `or vector(0)`: when every request fails there is no series of successful ones, and the rate is 0, not unknown.
const SUCCESS_RATE: &str = r#"
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

const DURATION: &str = r#"
histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{
  reporter="destination",
  destination_workload_namespace="{{ namespace }}",
  destination_workload=~"{{ target }}"
}[{{ interval }}])) by (le))"#;

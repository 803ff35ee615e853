//! The queries of the two built-in metrics, the same as Flagger's. They use the counters of the canary pods' proxies.

use crate::routing::Queries;

pub(super) const QUERIES: Queries = Queries {
    success_rate: SUCCESS_RATE,
    duration: DURATION,
};

/// If all requests fail, there is no series of successful ones. `or vector(0)` turns this into a rate of 0 instead of
/// no value.
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

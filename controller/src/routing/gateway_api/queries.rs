//! The queries of the two built-in metrics. They use metrics of the app, with the names common in Prometheus client
//! libraries.
//!
//! The Gateway API does not define metrics for its implementations. Flagger: use a MetricTemplate for those.
//! Each query accepts the pod labels of Flagger's own Prometheus and of the Prometheus Operator. Flagger supports only
//! the former.

use crate::routing::Queries;

pub(super) const QUERIES: Queries = Queries {
    success_rate: SUCCESS_RATE,
    duration: DURATION,
};

const SUCCESS_RATE: &str = r#"
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

const DURATION: &str = r#"
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

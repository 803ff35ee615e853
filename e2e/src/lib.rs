//! End-to-end stories: run.sh, kubectl, Envoy and Prometheus, driven as a person would.

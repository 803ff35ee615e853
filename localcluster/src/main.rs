//! The embedded cluster: what Minikube, Istio and Prometheus do, on one machine, without containers.
fn main() {}

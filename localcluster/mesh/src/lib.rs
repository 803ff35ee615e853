//! Turns Istio routes, Services and endpoints into the configuration of a real Envoy.

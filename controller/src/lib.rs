//! Canary controller that speaks Flagger's API on Istio.

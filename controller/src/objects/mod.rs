//! Pure builders of the generated objects, as Flagger makes them. They take what exists and what is wanted and
//! return what should be written; nothing here talks to a server.

pub mod configs;
pub(crate) mod json;
pub mod ownership;
pub mod services;

/// Annotations by which Flux leaves generated objects alone.
pub const FLUX_ANNOTATIONS: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];

//! Pure builders of the generated objects, which match those of Flagger. A builder takes the existing object and the
//! desired settings and returns the object to write. Nothing here accesses a server.

pub mod configs;
pub(crate) mod json;
pub mod ownership;
pub mod services;

/// Annotations that exclude generated objects from Flux's reconciliation.
pub const FLUX_ANNOTATIONS: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];
